"""Softmax attention in parts: the three shapes of computation that every pattern is made of.

A `Partial` is an unnormalised softmax of queries over some of the keys. Partials over disjoint keys merge exactly,
so block_attention.py cuts a pattern into parts that are cheap to compute:

- `prefix`: query i attends the first `visible[i]` keys; blocks of queries, none of which computes the future
  (`tiled`: the same, where even a block of queries against all its keys is large);
- `band`: query i attends the newest `width` keys; blocks of queries against their own block and the ones before;
- `distances`: query i attends the keys at a few given distances, one multiply-add per pair.

Long ones never hold the weights of all their pairs: beyond `STORED` (prefix) and `AT_ONCE` (band) they are computed
a piece at a time, and again in the backward pass. Leading axes `...` start with batch and heads, and are never merged.
Axes: Q queries, K keys, D head width.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Numbers of weights (query-key pairs computed), for one sequence and one head.
STORED = 2**20  # up to here a prefix keeps them for the backward pass
AT_ONCE = 2**21  # up to here a band computes them at once

# Stands for minus infinity where a part may hold no allowed key: exp(FORBIDDEN - maximum) is exactly 0.
FORBIDDEN = -1e30


class Dropout(NamedTuple):
    """Drops attention probabilities: each with chance `rate`, independently; the rest grow by 1 / (1 - rate)."""

    rate: float
    key: jax.Array

    def __call__(self, weights: jax.Array) -> jax.Array:
        keep = jax.random.bernoulli(self.key, 1 - self.rate, weights.shape)
        return jnp.where(keep, weights / (1 - self.rate), 0)


def fold(drop: Dropout | None, number: int | jax.Array) -> Dropout | None:
    """The dropout of part `number`: an independent stream of the same key."""
    return None if drop is None else Dropout(drop.rate, jax.random.fold_in(drop.key, number))


class Partial(NamedTuple):
    """Attention over some keys, before it is normalised: `values / total` is the output were there no others.

    All float32: `maximum` and `total` are `(..., Q, 1)`, `values` is `(..., Q, D)`. `maximum` only guards
    against overflow; the output does not depend on it, so no gradient flows through it.
    """

    maximum: jax.Array
    total: jax.Array
    values: jax.Array

    def output(self) -> jax.Array:
        return self.values / self.total

    def merge(self, other: Partial) -> Partial:
        """The part over both sets of keys, which must be disjoint."""
        maximum = jnp.maximum(self.maximum, other.maximum)
        mine, its = jnp.exp(self.maximum - maximum), jnp.exp(other.maximum - maximum)
        return Partial(maximum, self.total * mine + other.total * its, self.values * mine + other.values * its)

    def map(self, function: Callable[[jax.Array], jax.Array]) -> Partial:
        return Partial(*map(function, self))


def rectangle(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    allowed: jax.Array | np.ndarray,
    drop: Dropout | None,
    maximum: jax.Array | None = None,
) -> Partial:
    """Queries `(..., Q, D)` against keys and values `(..., K, D)`; `allowed` broadcasts to `(..., Q, K)`.

    A query that may attend none of these keys gets the maximum FORBIDDEN, so that merging weighs it by zero.
    A `maximum` that is known to hold, `(..., Q, 1)`, is used as it is.
    """
    logits = jnp.einsum("...qd,...kd->...qk", q, k, preferred_element_type=jnp.float32) / math.sqrt(q.shape[-1])
    logits = jnp.where(allowed, logits, FORBIDDEN)
    if maximum is None:
        maximum = logits.max(-1, keepdims=True)
    maximum = jax.lax.stop_gradient(maximum)
    weights = jnp.exp(logits - maximum)
    total = weights.sum(-1, keepdims=True)
    if drop is not None:
        weights = drop(weights)
    values = jnp.einsum("...qk,...kd->...qd", weights.astype(v.dtype), v, preferred_element_type=jnp.float32)
    return Partial(maximum, total, values)


def prefix(q: jax.Array, k: jax.Array, v: jax.Array, visible: np.ndarray, drop: Dropout | None) -> Partial:
    """Query i attends the first `visible[i]` keys; `visible` is `(Q,)`, never decreases and may start with zeros.

    Each block of queries meets a slice of keys that ends with the last one it sees. About sqrt(Q) / 4 blocks:
    few to compile, while what they compute in vain is about 4 / sqrt(Q) of the whole. Long ones go tile by tile.
    """
    length, copies = q.shape[-2], math.prod(q.shape[2:-2])
    block = _round_up(4 * math.isqrt(length), 16)
    if copies * length * int(visible[-1]) > STORED:
        block = max(64, min(block, 512, math.isqrt(STORED // copies) // 16 * 16))
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

    Only one tile's weights exist at a time, in the backward pass too, which computes them again from the final
    maximum (Dao et al. 2022; Rabe and Staats 2021).
    """
    length, keys = q.shape[-2], max(1, int(visible[-1]))
    count, key_count = -(-length // block), -(-keys // block)
    visible_rows = np.pad(visible, (0, count * block - length), mode="edge").reshape(count, block)
    tiles = [(r, c) for r in range(count) for c in range(key_count) if c == 0 or c * block < visible_rows[r, -1]]
    steps = np.arange(len(tiles)), *np.array(tiles).T

    def tile(step, q, k, v, drop, maximum=None):
        number, row, column = step
        allowed = column * block + np.arange(block) < jnp.asarray(visible_rows)[row][:, None]
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


def band(q: jax.Array, k: jax.Array, v: jax.Array, width: int, drop: Dropout | None) -> Partial:
    """Query i attends the newest `width` keys, i - width + 1 .. i. Queries and keys `(..., T, D)`.

    Blocks of half the width meet their own block of keys and the two before: 1.5 times the pairs are computed.
    """
    length = q.shape[-2]
    if width >= length:
        return prefix(q, k, v, np.arange(length) + 1, drop)
    block = min(_round_up(width // 2, 16), length)
    before = max(1, -(-(width - 1) // block))  # blocks of keys before a query's own
    span = (before + 1) * block  # keys that one block of queries meets
    blocks = -(-length // block)
    groups = -(-blocks * block * span // AT_ONCE)
    size = max(before, -(-blocks // groups))  # blocks in a group
    groups = -(-blocks // size)

    def grouped(x):
        return rows(x, groups * size, block).reshape(*x.shape[:-2], groups, size, block, x.shape[-1])

    def halo(x):  # the blocks before each group: the last ones of the group before it, and zeros before the first
        return jnp.pad(x[..., :-1, -before:, :, :], [(0, 0)] * (x.ndim - 4) + [(1, 0), (0, 0), (0, 0), (0, 0)])

    def windows(own, halo):  # (..., size, span, D): side by side, the keys that each block of queries meets
        x = jnp.concatenate([halo, own], -3)
        return jnp.concatenate([x[..., b : b + size, :, :] for b in range(before + 1)], -2)

    distance = np.arange(block)[:, None] + before * block - np.arange(span)  # (block, span)
    within = (distance >= 0) & (distance < width)
    position = np.arange(size)[:, None, None] * block + np.arange(span) - before * block  # in the group

    def attend(group, q, k, k_halo, v, v_halo):
        allowed = within & (group * size * block + position >= 0)
        return rectangle(q, windows(k, k_halo), windows(v, v_halo), allowed, fold(drop, group))

    q, k, v = grouped(q), grouped(k), grouped(v)
    arrays = (q, k, halo(k), v, halo(v))
    if groups == 1:
        part = Partial(*attend(0, *(x.squeeze(-4) for x in arrays)))
    else:
        leading = tuple(jnp.moveaxis(x, -4, 0) for x in arrays)
        part = jax.lax.map(jax.checkpoint(lambda x: attend(*x)), (jnp.arange(groups), *leading))
        part = part.map(lambda x: jnp.moveaxis(x, 0, -4))
    return part.map(lambda x: x.reshape(*q.shape[:-4], -1, x.shape[-1])[..., :length, :])


def distances(q: jax.Array, k: jax.Array, v: jax.Array, back: tuple[int, ...], drop: Dropout | None) -> Partial:
    """Query i attends the keys i - d for each d in `back`, all at least 1. Queries and keys `(..., T, D)`.

    Sums of products of shifted arrays: the operations are as many as the pairs, and no matrix is formed.
    """
    length = q.shape[-2]
    logits = _score(back, q, k) / math.sqrt(q.shape[-1])  # (..., P, T): one row for each distance
    logits = jnp.where(np.arange(length) >= np.array(back)[:, None], logits, FORBIDDEN)
    maximum = jax.lax.stop_gradient(logits.max(-2, keepdims=True))
    weights = jnp.exp(logits - maximum)
    total = weights.sum(-2, keepdims=True)
    if drop is not None:
        weights = drop(weights)
    return Partial(jnp.swapaxes(maximum, -1, -2), jnp.swapaxes(total, -1, -2), _mix(back, weights, v))


# The two halves of `distances` are bilinear, and each other's derivatives. Their gradients are spelled out because
# those of the slices would each add an array padded to the full length.


def _score_of(back: tuple[int, ...], x: jax.Array, y: jax.Array) -> jax.Array:
    """out[p, t] = x[t] . y[t - back[p]], zero before the start: `(..., T, D)` twice -> `(..., P, T)` float32."""
    farther, length = max(back), x.shape[-2]
    y = _pad(y, farther, 0)
    rows = [y[..., farther - d : farther - d + length, :] for d in back]
    return jnp.stack([jnp.einsum("...td,...td->...t", x, row, preferred_element_type=jnp.float32) for row in rows], -2)


def _mix_of(back: tuple[int, ...], weights: jax.Array, y: jax.Array) -> jax.Array:
    """out[t] = sum_p weights[p, t] y[t - back[p]]: `(..., P, T)` and `(..., T, D)` -> `(..., T, D)` float32."""
    farther, length = max(back), y.shape[-2]
    y = _pad(y, farther, 0)
    rows = [y[..., farther - d : farther - d + length, :] for d in back]
    return functools.reduce(jnp.add, [weights[..., p, :, None] * row for p, row in enumerate(rows)])


def _scatter(back: tuple[int, ...], weights: jax.Array, x: jax.Array) -> jax.Array:
    """out[s] = sum_p weights[p, s + back[p]] x[s + back[p]]: `_mix_of` seen from the keys."""
    length = x.shape[-2]
    x, weights = _pad(x, 0, max(back)), _pad(weights[..., None], 0, max(back))
    rows = [(weights[..., p, d : d + length, :], x[..., d : d + length, :]) for p, d in enumerate(back)]
    return functools.reduce(jnp.add, [w * row for w, row in rows])


def _score_gradients(back, saved, bar):
    x, y = saved
    return _mix_of(back, bar, y).astype(x.dtype), _scatter(back, bar, x).astype(y.dtype)


def _mix_gradients(back, saved, bar):
    weights, y = saved
    return _score_of(back, bar.astype(y.dtype), y), _scatter(back, weights, bar).astype(y.dtype)


_score = jax.custom_vjp(_score_of, nondiff_argnums=(0,))
_score.defvjp(lambda back, x, y: (_score_of(back, x, y), (x, y)), _score_gradients)
_mix = jax.custom_vjp(_mix_of, nondiff_argnums=(0,))
_mix.defvjp(lambda back, weights, y: (_mix_of(back, weights, y), (weights, y)), _mix_gradients)


def _pad(x: jax.Array, front: int, end: int) -> jax.Array:
    """`(..., T, D)` with zeros before and after."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(front, end), (0, 0)])


def rows(x: jax.Array, count: int, width: int) -> jax.Array:
    """`(..., T, D)` -> `(..., count, width, D)`; zeros at the end, in the future of every query."""
    return _pad(x, 0, count * width - x.shape[-2]).reshape(*x.shape[:-2], count, width, x.shape[-1])


def flat(x: jax.Array, length: int) -> jax.Array:
    """The inverse of `rows`: `(..., count, width, D)` -> `(..., length, D)`."""
    return x.reshape(*x.shape[:-3], -1, x.shape[-1])[..., :length, :]


def _round_up(n: int, multiple: int) -> int:
    return -(-max(n, 1) // multiple) * multiple
