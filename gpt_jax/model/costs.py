"""What a pattern and a model cost: pairs, floating-point operations and bytes, as closed forms.

One multiply-add is two operations. Softmax, norms and activations are left out, as everywhere in the field:
they are a few per cent of the operations.
"""

from __future__ import annotations

import numpy as np

from gpt_jax.config import ModelConfig
from gpt_jax.model import band_attention, prefix_attention
from gpt_jax.model.patterns import Banded, Dense, Fixed, LogSparse, Pattern, Strided


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


def matmul_parameters(config: ModelConfig) -> int:
    """Parameters that multiply every token: the blocks' matrices and the output head, not the embeddings."""
    d, a, f = config.d_model, config.n_head * config.head_width, config.mlp_width
    return config.n_layer * (4 * d * a + 2 * d * f) + d * config.vocab_size


def forward_flops_per_token(config: ModelConfig) -> float:
    """2 N + attention over the allowed pairs, averaged over the tokens of one context; N is `matmul_parameters`."""
    n = config.context_length
    attention = sum(
        attention_flops(config.pattern(layer), n, config.n_head, config.head_width) for layer in range(config.n_layer)
    )
    return 2 * matmul_parameters(config) + attention / n


def train_flops_per_token(config: ModelConfig) -> float:
    """Operations for one trained token: forward, and twice that backward. What is recomputed is not counted.

    6 N + 12 H D pairs / T summed over layers: for `Dense` that is 6 N + 6 L H D (T + 1), the causal half of the
    12 L H D T that masked attention is usually charged with (Kaplan et al. 2020; PaLM, appendix B).
    """
    return 3 * forward_flops_per_token(config)
