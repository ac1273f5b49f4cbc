"""What a pattern costs: pairs, floating-point operations and bytes, as closed forms.

One multiply-add is two operations. The softmax is left out, as everywhere in the field: it is a few per cent.
"""

from __future__ import annotations

import numpy as np

from gpt_jax.attention import band as band_attention
from gpt_jax.attention import prefix as prefix_attention
from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Pattern, Strided


def pairs(pattern: Pattern, length: int) -> int:
    """How many (query, key) pairs `pattern` allows among `length` tokens: `pattern.mask(length).sum()`, at once."""
    n = length
    match pattern:
        case Dense():
            return _within(n, n)
        case Banded(window=w):
            return _within(n, w)
        case Strided(stride=k):
            # Distances 0..k, and the multiples of k from 2k on: at distance d there are n - d pairs.
            far = max(0, (n - 1) // k - 1)  # how many multiples 2k, 3k, ... are below n
            return _within(n, k + 1) + far * n - k * (far * (far + 3) // 2)
        case Fixed(block=l, summary=c):
            whole, rest = divmod(n, l)
            own = whole * _within(l, l) + _within(rest, rest)
            # A query sees c summary tokens of every block before its own.
            return own + c * (l * (whole * (whole - 1) // 2) + rest * whole)
        case LogSparse(window=w):
            far = [1 << p for p in range(n.bit_length()) if w <= 1 << p < n]
            return _within(n, w) + sum(n - d for d in far)
    raise TypeError(f"no pair count for {pattern!r}")


def _within(n: int, w: int) -> int:
    """Pairs at distances 0 .. w - 1 among n tokens."""
    w = min(n, w)
    return n * w - w * (w - 1) // 2


def computed_pairs(pattern: Pattern, length: int) -> int:
    """How many weights `block_attention` forms: `pairs`, and what its rectangles hold beside them."""
    n = length
    everything = np.arange(n) + 1
    match pattern:
        case Dense():
            return prefix_attention.computed(everything)
        case Banded(window=w):
            return band_attention.computed(n, w)
        case Strided(stride=k):
            if n <= 2 * k:
                return band_attention.computed(n, k + 1)
            column = np.maximum(np.arange(-(-n // k)) - 1, 0)
            return band_attention.computed(n, k + 1) + prefix_attention.computed(column, copies=k)
        case Fixed(block=l, summary=c):
            if n <= l:
                return prefix_attention.computed(everything)
            own = prefix_attention.computed(np.arange(l) + 1, copies=-(-n // l))
            return own + prefix_attention.computed(np.arange(n) // l * c)
        case LogSparse(window=w):
            return band_attention.computed(n, w) + n * len([p for p in range(n.bit_length()) if w <= 2**p < n])
    raise TypeError(f"no block computation for {pattern!r}")


def attention_flops(pattern: Pattern, length: int, heads: int, head_width: int, *, computed: bool = False) -> int:
    """Forward operations of one sequence's attention, scores and weighted values: 4 heads head_width for each pair.

    Over the allowed pairs, or with `computed` over the weights that `block_attention` forms. The backward pass is
    twice that, and 2.5 times where it computes the weights again.
    """
    return 4 * (computed_pairs if computed else pairs)(pattern, length) * heads * head_width


def attention_bytes(pattern: Pattern, length: int, heads: int, head_width: int, itemsize: int = 4) -> int:
    """About the bytes that one sequence's forward pass holds: twelve arrays as large as q, and the float32 weights.

    The twelve are q, k, v and the output, their transposed copies, windows and partial results; the weights are
    those that `block_attention` forms at once. A scale, not a bound: XLA's own figure is within about a factor of 2.
    """
    weights = min(computed_pairs(pattern, length), band_attention.AT_ONCE)
    return heads * (12 * length * head_width * itemsize + 4 * weights)
