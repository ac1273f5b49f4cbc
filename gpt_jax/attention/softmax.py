"""Softmax attention in parts. All parts are made of one piece: `rectangle`.

A `Partial` is an unnormalised softmax of queries over some of the keys. Partials over disjoint keys merge exactly,
so the parts of a pattern (parts.py) are computed one by one, each by a module of its own:

- `prefix`: query i attends the first `visible[i]` keys; blocks of queries, none of which computes the future;
- `band`: query i attends the newest `width` keys; blocks of queries against their own block and the ones before;
- `distances`: query i attends the keys at a few given distances, one multiply-add per pair.

Axes: Q queries, K keys, D head width, T positions of both. Leading axes `...` start with batch and heads, and are
never merged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Stands for minus infinity where a part may hold no allowed key: exp(FORBIDDEN - maximum) is exactly 0.
FORBIDDEN = -1e30


class Dropout(NamedTuple):
    """Drops each attention probability with chance `rate`, independently. The others grow by 1 / (1 - rate)."""

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
    logits = jnp.where(jnp.broadcast_to(allowed, logits.shape), logits, FORBIDDEN)
    if maximum is None:
        maximum = logits.max(-1, keepdims=True)
    maximum = jax.lax.stop_gradient(maximum)
    weights = jnp.exp(logits - maximum)
    total = weights.sum(-1, keepdims=True)
    if drop is not None:
        weights = drop(weights)
    values = jnp.einsum("...qk,...kd->...qd", weights.astype(v.dtype), v, preferred_element_type=jnp.float32)
    return Partial(maximum, total, values)


def pad(x: jax.Array, front: int, end: int) -> jax.Array:
    """`(..., T, D)` with zeros before and after."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(front, end), (0, 0)])


def rows(x: jax.Array, count: int, width: int) -> jax.Array:
    """`(..., T, D)` -> `(..., count, width, D)`; zeros at the end, in the future of every query."""
    return pad(x, 0, count * width - x.shape[-2]).reshape(*x.shape[:-2], count, width, x.shape[-1])


def flat(x: jax.Array, length: int) -> jax.Array:
    """The inverse of `rows`: `(..., count, width, D)` -> `(..., length, D)`."""
    return x.reshape(*x.shape[:-3], -1, x.shape[-1])[..., :length, :]


def round_up(n: int, multiple: int) -> int:
    """The least multiple that is at least n, and positive."""
    return -(-max(n, 1) // multiple) * multiple
