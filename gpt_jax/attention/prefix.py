"""Each query attends a prefix of the keys. Causal attention, columns, own blocks and summaries are such prefixes."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.attention.softmax import FORBIDDEN, Dropout, Partial, flat, fold, rectangle, round_up, rows

# Weights (query-key pairs) of one sequence and one head, up to which all are kept for the backward pass.
STORED = 2**20


def prefix(q: jax.Array, k: jax.Array, v: jax.Array, visible: np.ndarray, drop: Dropout | None) -> Partial:
    """Query i attends the first `visible[i]` keys; `visible` is `(Q,)`, never decreases and may start with zeros.

    Each block of queries meets a slice of keys that ends with the last key it sees. There are about sqrt(Q) / 4 blocks.
    They are few to compile, and about 4 / sqrt(Q) of what they compute is not allowed. A long prefix goes tile by tile.
    """
    length = q.shape[-2]
    block, long = query_block(visible, math.prod(q.shape[2:-2]))
    if long:
        return tiled(q, k, v, visible, block, drop)
    parts = []
    for number, start in enumerate(range(0, length, block)):
        end = min(start + block, length)
        keys = max(1, int(visible[end - 1]))
        allowed = np.arange(keys) < visible[start:end, None]
        parts.append(rectangle(q[..., start:end, :], k[..., :keys, :], v[..., :keys, :], allowed, fold(drop, number)))
    return Partial(*(jnp.concatenate(x, -2) for x in zip(*parts, strict=True)))


def tiled(q: jax.Array, k: jax.Array, v: jax.Array, visible: np.ndarray, block: int, drop: Dropout | None) -> Partial:
    """`prefix`, one tile of `block` queries by `block` keys after another, over the tiles that hold any pair.

    Only one tile's weights exist at a time. The backward pass computes them again, tile by tile, from the final
    maximum (Dao et al. 2022; Rabe and Staats 2021).
    """
    length, keys = q.shape[-2], max(1, int(visible[-1]))
    count, key_count = -(-length // block), -(-keys // block)
    visible_rows = np.pad(visible, (0, count * block - length), mode="edge").reshape(count, block)
    tiles = [(r, c) for r in range(count) for c in range(key_count) if c == 0 or c * block < visible_rows[r, -1]]
    steps = np.arange(len(tiles)), *np.array(tiles).T  # the tile's number, its row and its column

    def tile(step, q, k, v, drop, maximum=None):
        number, row, column = step
        allowed = column * block + np.arange(block)[None] < jnp.asarray(visible_rows)[row][:, None]
        return rectangle(q, k, v, allowed, fold(drop, number), maximum)

    @jax.custom_vjp
    def attend(q, k, v, drop):
        def add(so_far, step):
            _, row, column = step
            merged = so_far.map(lambda x: x[row]).merge(tile(step, q[row], k[column], v[column], drop))
            return Partial(*(x.at[row].set(y) for x, y in zip(so_far, merged, strict=True))), None

        zero = jnp.zeros((*q.shape[:-1], 1), jnp.float32)
        return jax.lax.scan(add, Partial(zero + FORBIDDEN, zero, jnp.zeros(q.shape, jnp.float32)), steps)[0]

    def forward(q, k, v, drop):
        part = attend(q, k, v, drop)
        return part, (q, k, v, drop, part.maximum)

    def backward(saved, bar):
        q, k, v, drop, maximum = saved

        def add(so_far, step):
            _, row, column = step
            _, pull = jax.vjp(lambda q, k, v: tile(step, q, k, v, drop, maximum[row]), q[row], k[column], v[column])
            places = (row, column, column)
            gradients = pull(bar.map(lambda x: x[row]))
            return tuple(x.at[n].add(g) for x, n, g in zip(so_far, places, gradients, strict=True)), None

        zeros = tuple(jnp.zeros(x.shape, jnp.float32) for x in (q, k, v))
        gradients, _ = jax.lax.scan(add, zeros, steps)
        return *(g.astype(x.dtype) for g, x in zip(gradients, (q, k, v), strict=True)), None

    attend.defvjp(forward, backward)
    whole = ((q, count), (k[..., :keys, :], key_count), (v[..., :keys, :], key_count))
    return attend(*(jnp.moveaxis(rows(x, n, block), -3, 0) for x, n in whole), drop).map(
        lambda x: flat(jnp.moveaxis(x, 0, -3), length)
    )


def query_block(visible: np.ndarray, copies: int) -> tuple[int, bool]:
    """The queries in a block, and whether the prefix is long: computed tile by tile, and again in the backward pass.

    `copies` of the prefix are computed side by side in each head (rows or columns of time).
    """
    length = len(visible)
    block = round_up(4 * math.isqrt(length), 16)
    if copies * length * int(visible[-1]) <= STORED:
        return block, False
    return max(64, min(block, 512, math.isqrt(STORED // copies) // 16 * 16)), True


def computed(visible: np.ndarray, copies: int = 1) -> int:
    """How many weights `prefix` forms: all weights of every rectangle or tile, allowed or not."""
    length = len(visible)
    block, long = query_block(visible, copies)
    starts = np.arange(0, length, block)
    ends = np.minimum(starts + block, length)
    keys = np.maximum(1, visible[ends - 1])
    if long:
        return copies * int((-(-keys // block)).sum()) * block**2
    return copies * int(((ends - starts) * keys).sum())
