"""What a model costs, in closed forms: parameters in products, and floating-point operations for each token.

One multiply-add is two operations. Softmax, norms, gates and activations are left out, as everywhere in the field:
they are a few per cent of the operations.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp

from gpt_jax.attention import Dense
from gpt_jax.attention.costs import attention_flops
from gpt_jax.config import ModelConfig
from gpt_jax.model.interface import language_model


@cache
def parameter_count(config: ModelConfig) -> int:
    """The exact number of parameters, from shapes alone: nothing is allocated.

    The decoder's layers differ in their patterns alone, which have no parameters: one layer is traced, and not all 96
    of the largest model.
    """
    if config.architecture == "transformer":
        config = replace(config, scan_layers=True, attention=(Dense(),))
    shapes = jax.eval_shape(language_model(config).init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


def matmul_parameters(config: ModelConfig) -> int:
    """Parameters that multiply every token: the layers' matrices and the output head, not the embeddings.

    A block of the decoder has q, k, v and the output, `4 M A` (A: all heads' widths), and the MLP's `2 M F`. A layer
    of the LSTM has four gates from the input, `4 M U`, and from the state, `4 U U`, and its projection, `U M`.
    """
    d, f = config.d_model, config.mlp_width
    if config.architecture == "lstm":
        layer = 4 * d * f + 4 * f * f + f * d
    else:
        layer = 4 * d * config.n_head * config.head_width + 2 * d * f
    return config.n_layer * layer + d * config.vocab_size


def forward_flops_per_token(config: ModelConfig) -> float:
    """2 N + attention over the allowed pairs, averaged over the tokens of one context; N is `matmul_parameters`.

    An LSTM has no attention.
    """
    if config.architecture == "lstm":
        return float(2 * matmul_parameters(config))
    n = config.context_length
    attention = sum(
        attention_flops(config.pattern(layer), n, config.n_head, config.head_width) for layer in range(config.n_layer)
    )
    return 2 * matmul_parameters(config) + attention / n


def train_flops_per_token(config: ModelConfig) -> float:
    """Operations for one trained token: forward, and twice that backward. What is recomputed is not counted.

    6 N + 12 H D pairs / T summed over layers: for `Dense` that is 6 N + 6 L H D (T + 1), the causal half of the
    12 L H D T that masked attention is usually charged with (Kaplan et al. 2020; PaLM, appendix B). For an LSTM, 6 N.
    """
    return 3 * forward_flops_per_token(config)
