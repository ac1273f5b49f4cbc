"""What a pattern costs, in closed forms of its parts: pairs, floating-point operations and bytes.

One multiply-add is two operations. The softmax is left out, as everywhere in the field, because it is a few per cent. A
pattern without parts is computed through its mask. Such a pattern costs what all pairs cost.
"""

from __future__ import annotations

import functools

import numpy as np

from gpt_jax.attention import block
from gpt_jax.attention.band import AT_ONCE
from gpt_jax.attention.patterns import Pattern


def pairs(pattern: Pattern, length: int) -> int:
    """How many (query, key) pairs `pattern` allows among `length` tokens: `pattern.mask(length).sum()`, at once."""
    parts = pattern.parts(length)
    return _counted(pattern, length) if parts is None else sum(part.pairs(length) for part in parts)


@functools.lru_cache
def _counted(pattern: Pattern, length: int) -> int:
    """The pairs of a pattern without parts, counted query by query."""
    keys = np.arange(length)
    return sum(int(np.count_nonzero(pattern.allows(np.array([i]), keys))) for i in range(length))


def computed_pairs(pattern: Pattern, length: int) -> int:
    """How many weights are formed where no kernel serves: all pairs of the rectangles, or of the mask."""
    parts = pattern.parts(length)
    return length**2 if parts is None else sum(block.computed_pairs(part, length) for part in parts)


def attention_flops(pattern: Pattern, length: int, heads: int, head_width: int, *, computed: bool = False) -> int:
    """Forward operations of one sequence's attention, scores and weighted values: 4 heads head_width for each pair.

    Over the allowed pairs, or with `computed` over the weights that are formed (`computed_pairs`). The backward pass is
    twice that, and 2.5 times where it computes the weights again.
    """
    return 4 * (computed_pairs if computed else pairs)(pattern, length) * heads * head_width


def attention_bytes(pattern: Pattern, length: int, heads: int, head_width: int, itemsize: int = 4) -> int:
    """About the bytes that one sequence's forward pass holds: twelve arrays of q's size, and the float32 weights.

    The twelve are q, k, v and the output, their transposed copies, windows and partial results; the weights are
    those that exist at once. This is a scale and not a bound: XLA's own figure is within about a factor of 2.
    """
    weights = computed_pairs(pattern, length)
    if pattern.parts(length) is not None:
        weights = min(weights, AT_ONCE)
    return heads * (12 * length * head_width * itemsize + 4 * weights)
