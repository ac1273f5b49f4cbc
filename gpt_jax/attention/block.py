"""A pattern's parts under one softmax, in plain jnp, at a cost that follows the number of pairs.

`Prefix`, `Band` and `Distances` each have a computation in a module of its own; `Rows` and `Columns` fold time, so that
the part inside them meets many short sequences. docs/SPARSE_ATTENTION.md has their costs, in
theory and as measured.

Axes: B batch, T time, H heads, D head width. Inside, arrays are `(B, H, ..., T, D)`, so that the matrix products are
over the two last axes; the axes `...` count rows or columns.
"""

from __future__ import annotations

import functools
from typing import assert_never

import jax
import jax.numpy as jnp

from gpt_jax.attention import band as band_attention
from gpt_jax.attention import prefix as prefix_attention
from gpt_jax.attention.distances import distances
from gpt_jax.attention.parts import Band, Columns, Distances, Part, Prefix, Rows
from gpt_jax.attention.patterns import Pattern
from gpt_jax.attention.softmax import Dropout, Partial, flat, fold, rows


def block_attention(
    q_BTHD: jax.Array,
    k_BTHD: jax.Array,
    v_BTHD: jax.Array,
    pattern: Pattern,
    *,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Softmax attention over the pairs of `pattern`. It equals masked attention, and forms no T x T arrays.

    Returns `(B, T, H, D)` in the dtype of `q_BTHD`; logits and softmax are float32. Attention probabilities are
    dropped with `dropout_rate` when a key is given. Any length works. Batch and heads are never merged with other
    axes, so arrays that are sharded over them stay so. `pattern` must have parts.
    """
    drop = Dropout(dropout_rate, dropout_key) if dropout_rate > 0 and dropout_key is not None else None
    q, k, v = (jnp.swapaxes(x, 1, 2) for x in (q_BTHD, k_BTHD, v_BTHD))
    length = q.shape[-2]
    parts = pattern.parts(length)
    assert parts is not None, f"{pattern} has no parts: masked_attention computes it"
    done = [
        compute(part, q, k, v, fold(drop, number) if len(parts) > 1 else drop)
        for number, part in enumerate(parts)
        if part.pairs(length) > 0
    ]
    return jnp.swapaxes(functools.reduce(Partial.merge, done).output(), 1, 2).astype(q_BTHD.dtype)


def compute(part: Part, q: jax.Array, k: jax.Array, v: jax.Array, drop: Dropout | None) -> Partial:
    """Attention over the pairs of `part`, which holds at least one; arrays `(B, H, ..., T, D)`."""
    length = q.shape[-2]
    match part:
        case Prefix(visible, last, every):
            if every > 1:  # the keys that count: the last ones of every row
                k, v = (rows(x, -(-length // every), every)[..., -last:, :] for x in (k, v))
                k, v = (x.reshape(*x.shape[:-3], -1, x.shape[-1]) for x in (k, v))
            return prefix_attention.prefix(q, k, v, visible[:length], drop)
        case Band(width):
            return band_attention.band(q, k, v, width, drop)
        case Distances(back):
            return distances(q, k, v, tuple(d for d in back if d < length), drop)
        case Rows(width, inner):
            if length <= width:
                return compute(inner, q, k, v, drop)
            q, k, v = (rows(x, -(-length // width), width) for x in (q, k, v))
            return compute(inner, q, k, v, drop).map(lambda x: flat(x, length))
        case Columns(width, inner):
            count = -(-length // width)
            q, k, v = (jnp.swapaxes(rows(x, count, width), -2, -3) for x in (q, k, v))  # (..., width, count, D)
            return compute(inner, q, k, v, drop).map(lambda x: flat(jnp.swapaxes(x, -2, -3), length))
        case _:
            assert_never(part)


def computed_pairs(part: Part, length: int, copies: int = 1) -> int:
    """How many weights `compute` forms: the pairs of `part`, and the other pairs of its rectangles.

    `copies` of the part are computed side by side in each head: the rows or columns around it.
    """
    if part.pairs(length) == 0:
        return 0
    match part:
        case Prefix(visible):
            return prefix_attention.computed(visible[:length], copies)
        case Band(width):
            return band_attention.computed(length, width, copies)
        case Distances(back):
            return copies * length * sum(d < length for d in back)
        case Rows(width, inner):
            if length <= width:
                return computed_pairs(inner, length, copies)
            return computed_pairs(inner, width, copies * -(-length // width))
        case Columns(width, inner):
            return computed_pairs(inner, -(-length // width), copies * width)
        case _:
            assert_never(part)
