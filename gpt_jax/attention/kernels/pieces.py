"""A pattern's parts as dense causal pieces, which fused kernels compute.

A stride on raw time leaves no tile of a mask empty, so a kernel that skips empty tiles saves nothing. The parts of a
pattern are dense after time is folded: the columns of a strided pattern are causal attention over `T / stride` tokens,
`stride` times as many heads. A `Piece` says how arrays fold, and how much of its past a query attends there.

Axes: B batch, T time, H heads, X any width (the head's, or 1). A piece has its own B', T' and H', and K' heads of keys:
`H' / K'` neighbouring heads of queries share a head of keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.attention.parts import Band, Columns, Part, Prefix, Rows

Fold = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class Piece:
    """Causal attention over `length` tokens, each of which attends its newest `window` ones.

    `queries` and `keys` fold `(B, T, H, X)` to `(B', T', H', X)` and `(B', T', K', X)`. `spread(x, fill)` undoes
    `queries`; the queries that the piece leaves out, because they attend nothing in it, get `fill`.
    """

    length: int
    window: int
    queries: Fold
    keys: Fold
    spread: Callable[[jax.Array, float], jax.Array]


def pieces(part: Part, length: int) -> tuple[Piece, ...] | None:
    """The pieces that together hold the pairs of `part` among `length` tokens; None where it has no such form."""
    match part:
        case Band(width):
            return (_causal(length, min(width, length)),)
        case Prefix(visible, last, every):
            return _prefix(visible[:length], last, every, length)
        case Rows(width, inner) if length <= width:
            return pieces(inner, length)
        case Rows(width, inner):
            return _inside(inner, width, length, lambda x: x.reshape(-1, width, *x.shape[3:]), rows_first=True)
        case Columns(width, inner):
            count = -(-length // width)
            return _inside(inner, width, length, lambda x: x.reshape(x.shape[0], count, -1, x.shape[-1]))
    return None


def _causal(length: int, window: int, skip: int = 0) -> Piece:
    """Each query attends its newest `window` keys, the newest `skip` of all left out: time is cut at both ends."""

    def spread(x, fill):
        return jnp.pad(x, ((0, 0), (skip, 0), (0, 0), (0, 0)), constant_values=fill)

    return Piece(length - skip, window, lambda x: x[:, skip:], lambda x: x[:, : length - skip], spread)


def _prefix(visible: np.ndarray, last: int, every: int, length: int) -> tuple[Piece, ...] | None:
    if every == 1:
        skip = length - int(visible[-1])
        if skip < length and np.array_equal(visible, np.maximum(np.arange(length) + 1 - skip, 0)):
            return (_causal(length, length - skip, skip),)
        return None
    if not np.array_equal(visible, np.arange(length) // every * last):
        return None
    return tuple(_summary(length, every, every - last + n) for n in range(last))


def _summary(length: int, every: int, place: int) -> Piece:
    """Each query attends token `place` of every row of `every` tokens before its own: one key for each row."""
    count = -(-length // every)
    rows = _causal(count, count - 1, skip=1)

    def queries(x):  # (B, T, H, X) -> (B, rows, H * every, X)
        x = jnp.swapaxes(_rows(x, every), 2, 3)
        return rows.queries(x.reshape(*x.shape[:2], -1, x.shape[-1]))

    def spread(x, fill):
        x = rows.spread(x, fill)
        x = jnp.swapaxes(x.reshape(*x.shape[:2], -1, every, x.shape[-1]), 2, 3)
        return x.reshape(x.shape[0], -1, *x.shape[3:])[:, :length]

    return Piece(count - 1, count - 1, queries, lambda x: rows.keys(_rows(x, every)[:, :, place]), spread)


def _inside(inner: Part, width: int, length: int, fold: Fold, rows_first: bool = False) -> tuple[Piece, ...] | None:
    """The pieces of `inner` over arrays that `fold` makes of rows, `(B, rows, width, H, X)`."""
    count = -(-length // width)
    own = pieces(inner, width if rows_first else count)
    if own is None:
        return None

    def outside(piece: Piece) -> Piece:
        def spread(x, fill):
            x = piece.spread(x, fill)
            heads = x.shape[2] if rows_first else x.shape[2] // width
            return x.reshape(-1, count * width, heads, x.shape[-1])[:, :length]

        return Piece(
            piece.length,
            piece.window,
            lambda x: piece.queries(fold(_rows(x, width))),
            lambda x: piece.keys(fold(_rows(x, width))),
            spread,
        )

    return tuple(outside(piece) for piece in own)


def _rows(x: jax.Array, width: int) -> jax.Array:
    """`(B, T, H, X)` -> `(B, rows, width, H, X)`, the last row filled with zeros."""
    count = -(-x.shape[1] // width)
    x = jnp.pad(x, ((0, 0), (0, count * width - x.shape[1]), (0, 0), (0, 0)))
    return x.reshape(x.shape[0], count, width, *x.shape[2:])
