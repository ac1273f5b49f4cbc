"""The closed forms of model/costs.py equal what parameters and XLA count."""

import math

import jax
import jax.numpy as jnp

from gpt_jax.attention.patterns import Banded, Dense
from gpt_jax.config import ModelConfig
from gpt_jax.model.costs import forward_flops_per_token, matmul_parameters, train_flops_per_token
from gpt_jax.model.decoder import GPT
from gpt_jax.model.interface import language_model


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


LSTM = ModelConfig(architecture="lstm", vocab_size=50, context_length=16, n_layer=2, n_head=1, d_model=8, d_ff=12)


def jaxprs(parameters):
    """The programs among an equation's parameters."""
    leaves = jax.tree.leaves(parameters, is_leaf=lambda leaf: hasattr(leaf, "jaxpr") or hasattr(leaf, "eqns"))
    return [getattr(leaf, "jaxpr", leaf) for leaf in leaves if hasattr(leaf, "jaxpr") or hasattr(leaf, "eqns")]


def products(jaxpr, times=1):
    """Multiply-adds of every product in a jaxpr, those in a scan with its length."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
            total += times * inner * math.prod(equation.outvars[0].aval.shape)
        repeat = equation.params["length"] if equation.primitive.name == "scan" else 1
        for inner in jaxprs(equation.params):
            total += products(inner, times * repeat)
    return total


def test_an_lstm_costs_the_products_that_it_computes():
    """Forward as counted in the traced program, and its closed form by hand: 4 M U + 4 U U + U M a layer, and M V."""
    tokens = jax.ShapeDtypeStruct((1, 16), jnp.int32)
    params = jax.eval_shape(language_model(LSTM).init, jax.random.key(0), tokens)["params"]
    traced = jax.make_jaxpr(lambda p, t: language_model(LSTM).apply({"params": p}, t))(params, tokens)
    assert forward_flops_per_token(LSTM) == 2 * products(traced.jaxpr) / 16
    assert matmul_parameters(LSTM) == 2 * (4 * 8 * 12 + 4 * 12 * 12 + 12 * 8) + 8 * 50
    assert train_flops_per_token(LSTM) == 6 * matmul_parameters(LSTM)


def test_books_lstm_has_7_6_million_parameters_in_products():
    model = ModelConfig(architecture="lstm", vocab_size=8192, d_model=256, n_layer=1, n_head=8)
    assert matmul_parameters(model) == 1_048_576 + 4_194_304 + 262_144 + 2_097_152
