"""A pattern's parts by fused kernels, merged into one softmax by their log-sum-exps, forward and backward.

A kernel gives a part's output o_p, normalised within the part, and the logarithm of the sum that it divided by, l_p.
The whole is o = sum_p exp(l_p - l) o_p with l = log sum_p exp(l_p). FlashAttention's backward pass needs only o and l
(Dao 2023, section 2.3): from those of the whole, each part's kernel gives its share of the gradients. JAX's own
derivative of a kernel drops the cotangent of l_p, so the derivative is spelled out here.

Axes: B batch, T time, H heads, D head width.
"""

from __future__ import annotations

import functools
from typing import Protocol

import jax
import jax.numpy as jnp

from gpt_jax.attention import distances
from gpt_jax.attention.kernels.pieces import Fold, Piece, pieces
from gpt_jax.attention.parts import Distances, Part
from gpt_jax.attention.patterns import Pattern
from gpt_jax.attention.softmax import FORBIDDEN


class Fused(Protocol):
    """A kernel of causal attention over the newest `window` keys. Queries `(B, T, H, D)`, keys `(B, T, K, D)`."""

    def forward(self, q: jax.Array, k: jax.Array, v: jax.Array, window: int) -> tuple[jax.Array, jax.Array]:
        """The output, like q, and the log-sum-exp of the scaled logits, float32 `(B, T, H)`."""
        ...

    def backward(
        self, q: jax.Array, k: jax.Array, v: jax.Array, o: jax.Array, l: jax.Array, o_bar: jax.Array, window: int
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The gradients of q, k and v, where `o` and `l` are of all parts together."""
        ...


def dense_parts(pattern: Pattern, length: int) -> list[tuple[Part, tuple[Piece, ...]]] | None:
    """The parts with any pair, each with its pieces; `Distances` has none. None where a part has neither."""
    found = []
    for part in pattern.parts(length) or ():
        if part.pairs(length) == 0:
            continue
        own = () if isinstance(part, Distances) else pieces(part, length)
        if own is None:
            return None
        found.append((part, own))
    return found or None


def merged_attention(
    q_BTHD: jax.Array, k_BTHD: jax.Array, v_BTHD: jax.Array, pattern: Pattern, fused: Fused
) -> jax.Array:
    """Attention over `pattern`, `(B, T, H, D)` in q's dtype; differentiable. `pattern` must have `dense_parts`."""
    parts = dense_parts(pattern, q_BTHD.shape[1])
    assert parts is not None, f"{pattern} has a part that is no piece: see kernels.choose"

    @jax.custom_vjp
    def attend(q, k, v):
        return forward(q, k, v)[0]

    def forward(q, k, v):
        o, l = functools.reduce(_merge, (_part(part, own, fused, q, k, v) for part, own in parts))
        o = o.astype(q.dtype)
        return o, (q, k, v, o, l)

    def backward(saved, o_bar):
        q, k, v, o, l = saved
        shares = (_gradients(part, own, fused, q, k, v, o, l, o_bar) for part, own in parts)
        q_bar, k_bar, v_bar = functools.reduce(_add, shares)
        return q_bar.astype(q.dtype), k_bar.astype(k.dtype), v_bar.astype(v.dtype)

    attend.defvjp(forward, backward)
    return attend(q_BTHD, k_BTHD, v_BTHD)


Output = tuple[jax.Array, jax.Array]  # float32: o (B, T, H, D), l (B, T, H, 1)
Gradients = tuple[jax.Array, jax.Array, jax.Array]  # of q, k and v


def _merge(a: Output, b: Output) -> Output:
    l = jnp.logaddexp(a[1], b[1])
    return a[0] * jnp.exp(a[1] - l) + b[0] * jnp.exp(b[1] - l), l


def _part(part: Part, own: tuple[Piece, ...], fused: Fused, q: jax.Array, k: jax.Array, v: jax.Array) -> Output:
    if isinstance(part, Distances):
        partial = distances.distances(_swap(q), _swap(k), _swap(v), _within(part, q.shape[1]), None)
        return _swap(partial.output()), _swap(partial.maximum + jnp.log(partial.total))

    def one(piece: Piece) -> Output:
        o, l = fused.forward(piece.queries(q), piece.keys(k), piece.keys(v), piece.window)
        return piece.spread(o.astype(jnp.float32), 0.0), piece.spread(l[..., None], FORBIDDEN)

    return functools.reduce(_merge, map(one, own))


def _gradients(part: Part, own: tuple[Piece, ...], fused: Fused, q, k, v, o, l, o_bar) -> Gradients:
    """This part's share of the gradients of q, k and v, float32."""
    if isinstance(part, Distances):
        back = _within(part, q.shape[1])
        q, k, v, o, l, o_bar = (_swap(x).astype(jnp.float32) for x in (q, k, v, o, l, o_bar))
        q_bar, k_bar, v_bar = distances.gradients(q, k, v, back, o, l, o_bar)
        return _swap(q_bar), _swap(k_bar), _swap(v_bar)

    def one(piece: Piece) -> Gradients:
        o_piece, l_piece, bar_piece = (piece.queries(x) for x in (o, l, o_bar))
        q_bar, k_bar, v_bar = fused.backward(
            piece.queries(q), piece.keys(k), piece.keys(v), o_piece, l_piece[..., 0], bar_piece, piece.window
        )
        queries, keys = functools.partial(_unfold, piece.queries, q), functools.partial(_unfold, piece.keys, k)
        return queries(q_bar), keys(k_bar), keys(v_bar)

    return functools.reduce(_add, map(one, own))


def _unfold(fold: Fold, like: jax.Array, bar: jax.Array) -> jax.Array:
    """The gradient of an array that was folded, from that of the folded one."""
    return jax.linear_transpose(fold, jax.ShapeDtypeStruct(like.shape, jnp.float32))(bar.astype(jnp.float32))[0]


def _add(a: Gradients, b: Gradients) -> Gradients:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _within(part: Distances, length: int) -> tuple[int, ...]:
    return tuple(d for d in part.back if d < length)


def _swap(x: jax.Array) -> jax.Array:
    """`(B, T, H, D)` to `(B, H, T, D)`, and back."""
    return jnp.swapaxes(x, 1, 2)
