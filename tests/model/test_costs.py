"""The closed forms of model/costs.py equal what parameters and XLA count."""

import math

import jax
import jax.numpy as jnp

from gpt_jax.attention.patterns import Banded, Dense
from gpt_jax.config import ModelConfig
from gpt_jax.model.costs import forward_flops_per_token, matmul_parameters, train_flops_per_token
from gpt_jax.model.decoder import GPT


def xla_flops(compiled):
    analysis = compiled.cost_analysis()
    assert analysis is not None
    return analysis["flops"]


def test_xla_counts_the_operations_of_an_unrolled_model():
    config = ModelConfig(
        vocab_size=1000, context_length=256, n_layer=3, n_head=2, d_model=128, attention_implementation="mask"
    )
    params = jax.eval_shape(GPT(config).init, jax.random.key(0), jnp.zeros((1, 8), jnp.int32))["params"]
    tokens = jax.ShapeDtypeStruct((1, 256), jnp.int32)
    compiled = jax.jit(lambda p, t: GPT(config).apply({"params": p}, t)).lower(params, tokens).compile()
    masked_in_vain = config.n_layer * 4 * (256 - 257 / 2) * config.d_model  # the future, which the mask computes
    formula = forward_flops_per_token(config) + masked_in_vain
    counted = xla_flops(compiled) / 256
    assert formula <= counted < 1.1 * formula


def test_matmul_parameters_are_the_kernels_and_the_head():
    config = ModelConfig(vocab_size=50, context_length=16, n_layer=3, n_head=2, d_model=8, d_head=6)
    params = jax.eval_shape(GPT(config).init, jax.random.key(0), jnp.zeros((1, 8), jnp.int32))["params"]
    leaves = jax.tree_util.tree_leaves_with_path(params)
    kernels = [math.prod(leaf.shape) for path, leaf in leaves if path[-1].key == "kernel"]
    assert len(kernels) == 4 * config.n_layer
    assert matmul_parameters(config) == sum(kernels) + config.vocab_size * config.d_model


def test_training_is_six_n_and_the_causal_half_of_attention():
    """GPT-2 124M: 6 N + 6 L H D (T + 1), with N = 123,532,032 = 84,934,656 in blocks + 38,597,376 in the head."""
    assert train_flops_per_token(ModelConfig()) == 6 * 123_532_032 + 6 * 12 * 768 * 1025


def test_a_sparse_layer_costs_less():
    dense, alternating = ModelConfig(), ModelConfig(attention=(Dense(), Banded(256)))
    assert train_flops_per_token(alternating) < train_flops_per_token(dense)
