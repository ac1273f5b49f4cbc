"""The patterns of patterns.py at a cost that follows the number of pairs, in plain jnp.

Everything here is made of one piece: some queries against some keys (`partial_attention`), kept as an
unnormalised softmax, `Partial`. Partials of the same queries over disjoint keys merge exactly, so a pattern is
cut into rectangles that are dense, each a fast matrix product, under one softmax.

Axes: B batch, T time, H heads, D head width; Q query and K key positions within one rectangle; `...` leading axes.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.model.patterns import Banded, Dense, Pattern

# Above this length the weights of a query block are recomputed in the backward pass instead of stored.
STORE_WEIGHTS_UP_TO = 1024  # tokens


class Dropout(NamedTuple):
    """Drops attention probabilities: each with chance `rate`, independently; the rest grow by 1 / (1 - rate)."""

    rate: float
    key: jax.Array

    def fold(self, number: int | jax.Array) -> Dropout:
        """The dropout of part `number`: another stream of the same key."""
        return Dropout(self.rate, jax.random.fold_in(self.key, number))

    def __call__(self, weights: jax.Array) -> jax.Array:
        keep = jax.random.bernoulli(self.key, 1 - self.rate, weights.shape)
        return jnp.where(keep, weights / (1 - self.rate), 0)


class Partial(NamedTuple):
    """Softmax attention over some of the keys: `values / total` is the output, were there no other keys.

    All float32: `maximum` and `total` are `(..., Q, 1)`, `values` is `(..., Q, D)`. `maximum` only guards
    against overflow; the result does not depend on it, so no gradient flows through it.
    """

    maximum: jax.Array
    total: jax.Array
    values: jax.Array


def partial_attention(q: jax.Array, k: jax.Array, v: jax.Array, allowed: Any, drop: Dropout | None) -> Partial:
    """Queries `(..., Q, D)` against keys and values `(..., K, D)` where `allowed` (broadcasts to `(..., Q, K)`).

    A query that may attend none of these keys gets a maximum so low that merging takes its weight to zero.
    """
    logits = jnp.einsum("...qd,...kd->...qk", q, k, preferred_element_type=jnp.float32) / math.sqrt(q.shape[-1])
    logits = jnp.where(allowed, logits, -1e30)
    maximum = jax.lax.stop_gradient(logits.max(-1, keepdims=True))
    weights = jnp.exp(logits - maximum)
    total = weights.sum(-1, keepdims=True)
    if drop is not None:
        weights = drop(weights)
    values = jnp.einsum("...qk,...kd->...qd", weights.astype(v.dtype), v, preferred_element_type=jnp.float32)
    return Partial(maximum, total, values)


def normalize(part: Partial) -> jax.Array:
    """The attention output `(..., Q, D)`, float32."""
    return part.values / part.total


def block_attention(
    q_BTHD: jax.Array,
    k_BTHD: jax.Array,
    v_BTHD: jax.Array,
    pattern: Pattern,
    *,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Softmax attention over the pairs of `pattern`: equal to the masked one, without its n x n arrays.

    Returns `(B, T, H, D)` in the dtype of `q_BTHD`; logits and softmax are float32. Probabilities are dropped
    with `dropout_rate` when a key is given. Any length works. Batch and heads are never merged with other axes,
    so arrays sharded over them stay so.
    """
    drop = Dropout(dropout_rate, dropout_key) if dropout_rate > 0 and dropout_key is not None else None
    q_BHTD, k_BHTD, v_BHTD = (jnp.swapaxes(x, 1, 2) for x in (q_BTHD, k_BTHD, v_BTHD))
    attend = {Dense: _dense, Banded: _banded}[type(pattern)]
    out_BHTD = normalize(attend(q_BHTD, k_BHTD, v_BHTD, pattern, drop))
    return jnp.swapaxes(out_BHTD, 1, 2).astype(q_BTHD.dtype)


def _dense(q, k, v, pattern: Dense, drop: Dropout | None) -> Partial:
    return causal(q, k, v, drop)


def _banded(q, k, v, pattern: Banded, drop: Dropout | None) -> Partial:
    return band(q, k, v, pattern.window, drop)


def causal(q, k, v, drop: Dropout | None) -> Partial:
    """All keys up to the query: blocks of queries, each against a slice of keys that ends where the block ends."""
    length = q.shape[-2]
    block = _round_up(4 * math.isqrt(length), 16)  # few blocks, and little of the future computed: n / (8 blocks)
    parts = []
    for number, start in enumerate(range(0, length, block)):
        end = min(start + block, length)
        allowed = np.arange(end) <= np.arange(start, end)[:, None]
        rows = functools.partial(partial_attention, allowed=allowed)
        if length > STORE_WEIGHTS_UP_TO:
            rows = jax.checkpoint(rows)
        block_drop = drop.fold(number) if drop is not None else None
        parts.append(rows(q[..., start:end, :], k[..., :end, :], v[..., :end, :], drop=block_drop))
    return jax.tree.map(lambda *x: jnp.concatenate(x, -2), *parts)


def band(q, k, v, window: int, drop: Dropout | None) -> Partial:
    """The `window` newest keys: blocks of queries, each against its own block of keys and the ones before."""
    length = q.shape[-2]
    if window >= length:
        return causal(q, k, v, drop)
    block = min(_round_up(window // 2, 16), length)
    before = -(-(window - 1) // block)  # blocks of keys before the query's own
    count = -(-length // block)
    q_blocks = _blocks(q, block, count, 0)
    # (..., count, (before + 1) block, D): the keys that each block of queries can see, side by side.
    k_windows, v_windows = (
        jnp.concatenate([x[..., b : b + count, :, :] for b in range(before + 1)], -2)
        for x in (_blocks(k, block, count, before), _blocks(v, block, count, before))
    )
    i = np.arange(count * block).reshape(count, block, 1)
    j = (np.arange(count)[:, None, None] - before) * block + np.arange((before + 1) * block)
    allowed = (j >= 0) & (j <= i) & (i - j < window)
    part = partial_attention(q_blocks, k_windows, v_windows, allowed, drop)
    return jax.tree.map(lambda x: x.reshape(*x.shape[:-3], count * block, x.shape[-1])[..., :length, :], part)


def _blocks(x: jax.Array, block: int, count: int, before: int) -> jax.Array:
    """`(..., T, D)` -> `(..., before + count, block, D)`: `before` blocks of zeros in front, and a whole number."""
    length, width = x.shape[-2:]
    padding = [(0, 0)] * (x.ndim - 2) + [(before * block, count * block - length), (0, 0)]
    return jnp.pad(x, padding).reshape(*x.shape[:-2], before + count, block, width)


def _round_up(n: int, multiple: int) -> int:
    return -(-max(n, 1) // multiple) * multiple
