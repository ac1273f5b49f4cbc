"""The patterns of patterns.py at a cost that follows the number of pairs, in plain jnp.

Each function says how its pattern is cut into parts (`prefix`, `band`, `distances`) under one softmax. What each
costs, in theory and measured, is in docs/SPARSE_ATTENTION.md.

Axes: B batch, T time, H heads, D head width. Inside, arrays are `(B, H, T, D)`, so that the matrix products are
over the two last axes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.attention.band import band
from gpt_jax.attention.distances import distances
from gpt_jax.attention.partial_softmax import Dropout, Partial, flat, fold, rows
from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Pattern, Strided
from gpt_jax.attention.prefix import prefix


def block_attention(
    q_BTHD: jax.Array,
    k_BTHD: jax.Array,
    v_BTHD: jax.Array,
    pattern: Pattern,
    *,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Softmax attention over the pairs of `pattern`: equal to the masked one, without its T x T arrays.

    Returns `(B, T, H, D)` in the dtype of `q_BTHD`; logits and softmax are float32. Attention probabilities are
    dropped with `dropout_rate` when a key is given. Any length works. Batch and heads are never merged with other
    axes, so arrays that are sharded over them stay so.
    """
    drop = Dropout(dropout_rate, dropout_key) if dropout_rate > 0 and dropout_key is not None else None
    q, k, v = (jnp.swapaxes(x, 1, 2) for x in (q_BTHD, k_BTHD, v_BTHD))
    match pattern:
        case Dense():
            part = _dense(q, k, v, drop)
        case Banded(window=window):
            part = band(q, k, v, window, drop)
        case Strided(stride=stride):
            part = _strided(q, k, v, stride, drop)
        case Fixed(block=block, summary=summary):
            part = _fixed(q, k, v, block, summary, drop)
        case LogSparse(window=window):
            part = _log_sparse(q, k, v, window, drop)
        case _:
            raise TypeError(f"no block computation for {pattern!r}")
    return jnp.swapaxes(part.output(), 1, 2).astype(q_BTHD.dtype)


def _dense(q, k, v, drop: Dropout | None) -> Partial:
    return prefix(q, k, v, np.arange(q.shape[-2]) + 1, drop)


def _strided(q, k, v, stride: int, drop: Dropout | None) -> Partial:
    """Distances 0 .. stride in a band; 2 stride, 3 stride, ... in columns.

    A column holds the positions of one residue modulo the stride, so its queries attend in it at every distance.
    Distances 0 and stride are in both of the pattern's sets, and are counted once: by the band.
    """
    length = q.shape[-2]
    near = band(q, k, v, stride + 1, fold(drop, 0))
    if length <= 2 * stride:
        return near
    count = -(-length // stride)

    def columns(x):  # (B, H, T, D) -> (B, H, stride, count, D)
        return jnp.swapaxes(rows(x, count, stride), -2, -3)

    far = prefix(columns(q), columns(k), columns(v), np.maximum(np.arange(count) - 1, 0), fold(drop, 1))
    return near.merge(far.map(lambda x: flat(jnp.swapaxes(x, -2, -3), length)))


def _fixed(q, k, v, block: int, summary: int, drop: Dropout | None) -> Partial:
    """Its own block, and the `summary` last keys of every block before."""
    length = q.shape[-2]
    if length <= block:
        return _dense(q, k, v, drop)
    count = -(-length // block)
    q_rows, k_rows, v_rows = (rows(x, count, block) for x in (q, k, v))  # (B, H, count, block, D)
    own = prefix(q_rows, k_rows, v_rows, np.arange(block) + 1, fold(drop, 0))
    k_last, v_last = (x[..., -summary:, :].reshape(*x.shape[:-3], -1, x.shape[-1]) for x in (k_rows, v_rows))
    before = prefix(q, k_last, v_last, np.arange(length) // block * summary, fold(drop, 1))
    return own.map(lambda x: flat(x, length)).merge(before)


def _log_sparse(q, k, v, window: int, drop: Dropout | None) -> Partial:
    """The window in a band, and the powers of two that it does not hold, one by one."""
    length = q.shape[-2]
    near = band(q, k, v, window, fold(drop, 0))
    back = tuple(2**p for p in range(length.bit_length()) if window <= 2**p < length)
    return near.merge(distances(q, k, v, back, fold(drop, 1))) if back else near
