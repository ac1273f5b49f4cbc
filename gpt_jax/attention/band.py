"""A sliding window: each query attends the newest keys."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.attention import prefix as prefix_attention
from gpt_jax.attention.softmax import Dropout, Partial, fold, rectangle, round_up, rows

# Weights (query-key pairs) of one sequence and one head, up to which all are computed at once. More are computed a
# group of blocks at a time, and again in the backward pass.
AT_ONCE = 2**21


def band(q: jax.Array, k: jax.Array, v: jax.Array, width: int, drop: Dropout | None) -> Partial:
    """Query i attends the newest `width` keys, i - width + 1 .. i. Queries and keys `(..., T, D)`.

    Blocks of half the width meet their own block of keys and the two before: 1.5 times the pairs are computed.
    Blocks have at least 32 positions, since smaller matrix products are slower than what they save.
    """
    length = q.shape[-2]
    if width >= length:
        return prefix_attention.prefix(q, k, v, np.arange(length) + 1, drop)
    block, before, size, groups = _shape(length, width, math.prod(q.shape[2:-2]))
    span = (before + 1) * block  # keys that one block of queries meets

    def grouped(x):
        return rows(x, groups * size, block).reshape(*x.shape[:-2], groups, size, block, x.shape[-1])

    def halo(x):  # the blocks before each group: the last ones of the group before it, and zeros before the first
        return jnp.pad(x[..., :-1, -before:, :, :], [(0, 0)] * (x.ndim - 4) + [(1, 0), (0, 0), (0, 0), (0, 0)])

    def windows(own, halo):  # (..., size, span, D): side by side, the keys that each block of queries meets
        x = jnp.concatenate([halo, own], -3)
        return jnp.concatenate([x[..., b : b + size, :, :] for b in range(before + 1)], -2)

    distance = np.arange(block)[:, None] + before * block - np.arange(span)  # (block, span)
    within = ((distance >= 0) & (distance < width))[None]
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


def _shape(length: int, width: int, copies: int) -> tuple[int, int, int, int]:
    """Positions in a block, blocks of keys before a query's own, blocks in a group, groups."""
    block = min(max(32, round_up(width // 2, 16)), length)
    before = max(1, -(-(width - 1) // block))
    blocks = -(-length // block)
    groups = -(-copies * blocks * block * (before + 1) * block // AT_ONCE)
    size = max(before, -(-blocks // groups))
    return block, before, size, -(-blocks // size)


def computed(length: int, width: int, copies: int = 1) -> int:
    """How many weights `band` forms: all weights of every rectangle, allowed or not.

    `copies` of the band are computed side by side in each head (rows or columns of time).
    """
    if width >= length:
        return prefix_attention.computed(np.arange(length) + 1, copies)
    block, before, size, groups = _shape(length, width, copies)
    return copies * groups * size * block * (before + 1) * block
