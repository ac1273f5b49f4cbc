"""Softmax attention in parts: the three shapes of computation that every pattern is made of.

A `Partial` is an unnormalised softmax of queries over some of the keys. Partials over disjoint keys merge exactly,
so block_attention.py cuts a pattern into parts that are cheap to compute:

- `prefix`: query i attends the first `visible[i]` keys; blocks of queries, none of which computes the future;
- `band`: query i attends the newest `width` keys; blocks of queries against their own block and the ones before;
- `distances`: query i attends the keys at a few given distances, one multiply-add per pair.

None holds the weights of all pairs at once: beyond `STORED` they are recomputed in the backward pass, and beyond
`AT_ONCE` they are computed a group at a time. Leading axes `...` start with batch and heads, and are never merged.
Axes: Q queries, K keys, D head width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Numbers of weights (query-key pairs computed), for one sequence and one head.
STORED = 2**20  # up to here they are kept for the backward pass
AT_ONCE = 2**21  # up to here they are computed at once, where there is a choice

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
    q: jax.Array, k: jax.Array, v: jax.Array, allowed: jax.Array | np.ndarray, drop: Dropout | None
) -> Partial:
    """Queries `(..., Q, D)` against keys and values `(..., K, D)`; `allowed` broadcasts to `(..., Q, K)`.

    A query that may attend none of these keys gets the maximum FORBIDDEN, so that merging weighs it by zero.
    """
    logits = jnp.einsum("...qd,...kd->...qk", q, k, preferred_element_type=jnp.float32) / math.sqrt(q.shape[-1])
    logits = jnp.where(allowed, logits, FORBIDDEN)
    maximum = jax.lax.stop_gradient(logits.max(-1, keepdims=True))
    weights = jnp.exp(logits - maximum)
    total = weights.sum(-1, keepdims=True)
    if drop is not None:
        weights = drop(weights)
    values = jnp.einsum("...qk,...kd->...qd", weights.astype(v.dtype), v, preferred_element_type=jnp.float32)
    return Partial(maximum, total, values)


def prefix(q: jax.Array, k: jax.Array, v: jax.Array, visible: np.ndarray, drop: Dropout | None) -> Partial:
    """Query i attends the first `visible[i]` keys; `visible` is `(Q,)`, never decreases and may start with zeros.

    Each block of queries meets a slice of keys that ends with the last one it sees. About sqrt(Q) / 4 blocks:
    few to compile, while what they compute in vain is about 4 / sqrt(Q) of the whole.
    """
    length = q.shape[-2]
    pairs = math.prod(q.shape[2:-1]) * int(visible[-1])
    block = _round_up(4 * math.isqrt(length), 16)
    attend = jax.checkpoint(rectangle) if pairs > STORED else rectangle
    parts = []
    for number, start in enumerate(range(0, length, block)):
        end = min(start + block, length)
        keys = max(1, int(visible[end - 1]))
        allowed = np.arange(keys) < visible[start:end, None]
        parts.append(attend(q[..., start:end, :], k[..., :keys, :], v[..., :keys, :], allowed, fold(drop, number)))
    return Partial(*(jnp.concatenate(x, -2) for x in zip(*parts, strict=True)))


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
        return _pad(x, groups * size * block).reshape(*x.shape[:-2], groups, size, block, x.shape[-1])

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


def distances(q: jax.Array, k: jax.Array, v: jax.Array, back: Sequence[int], drop: Dropout | None) -> Partial:
    """Query i attends the keys i - d for each d in `back`, all at least 1. Queries and keys `(..., T, D)`.

    Sums of products of shifted arrays: the operations are as many as the pairs, and no matrix is formed.
    """
    length = q.shape[-2]

    def shifted(x, d):
        return jnp.pad(x[..., : length - d, :], [(0, 0)] * (x.ndim - 2) + [(d, 0), (0, 0)]).astype(jnp.float32)

    @jax.checkpoint
    def attend(q, k, v, drop):
        q = q.astype(jnp.float32) / math.sqrt(q.shape[-1])
        logits = jnp.stack([(q * shifted(k, d)).sum(-1) for d in back], -1)
        logits = jnp.where(np.arange(length)[:, None] >= np.array(back), logits, FORBIDDEN)
        maximum = jax.lax.stop_gradient(logits.max(-1, keepdims=True))
        weights = jnp.exp(logits - maximum)
        total = weights.sum(-1, keepdims=True)
        if drop is not None:
            weights = drop(weights)
        values = reduce(jnp.add, [weights[..., n : n + 1] * shifted(v, d) for n, d in enumerate(back)])
        return Partial(maximum, total, values)

    return attend(q, k, v, drop)


def _pad(x: jax.Array, length: int) -> jax.Array:
    """`(..., T, D)` -> `(..., length, D)`, zeros at the end: in the future of every query, so never attended."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, length - x.shape[-2]), (0, 0)])


def _round_up(n: int, multiple: int) -> int:
    return -(-max(n, 1) // multiple) * multiple
