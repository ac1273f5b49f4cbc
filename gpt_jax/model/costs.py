"""What a model costs: parameters in products, and floating-point operations a token, as closed forms.

One multiply-add is two operations. Softmax, norms and activations are left out, as everywhere in the field:
they are a few per cent of the operations.
"""

from __future__ import annotations

from gpt_jax.attention.costs import attention_flops
from gpt_jax.config import ModelConfig


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
