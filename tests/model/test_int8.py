"""Matrices of int8: how far a product is from the exact one, and what a decoder of them writes."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_jax.attention.patterns import Banded, Dense
from gpt_jax.config import ModelConfig
from gpt_jax.errors import InputError
from gpt_jax.generation import generate
from gpt_jax.model.decoder import GPT
from gpt_jax.model.int8 import Int8, quantized
from gpt_jax.model.interface import language_model
from gpt_jax.model.layers_layout import stack_layers

CONFIG = ModelConfig(
    vocab_size=61, context_length=32, n_layer=2, n_head=2, d_model=32, attention=(Dense(), Banded(window=8))
)


def parameters(config: ModelConfig):
    return jax.jit(language_model(config).init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]


@given(st.sampled_from([1, 4]), st.sampled_from([1, 7, 40]), st.sampled_from([1, 30]), st.integers(0, 2**31))
def test_a_product_is_off_by_no_more_than_half_a_step_of_each_operand(rows, inputs, outputs, seed):
    random = np.random.default_rng(seed)
    x, w = random.normal(size=(rows, inputs)), random.normal(size=(outputs, inputs)) * 10.0 ** random.integers(-3, 3)
    found = Int8.of(jnp.asarray(w, jnp.float32), 1).product(jnp.asarray(x, jnp.float32))
    half_x = np.abs(x).max(1, keepdims=True) / 254 * np.ones_like(x)
    half_w = np.abs(w).max(1, keepdims=True) / 254 * np.ones_like(w)
    bound = np.abs(x) @ half_w.T + half_x @ np.abs(w).T + half_x @ half_w.T
    assert (np.abs(found - x @ w.T) <= 1.001 * bound).all()


def test_whole_numbers_up_to_127_are_multiplied_exactly():
    random = np.random.default_rng(0)
    x, w = random.integers(-127, 128, (7, 50)), random.integers(-127, 128, (11, 50))
    x[:, 0] = w[:, 0] = 127  # every scale is 1
    np.testing.assert_array_equal(Int8.of(jnp.asarray(w), 1).product(jnp.asarray(x)), x @ w.T)


def test_each_output_has_a_scale_of_its_own():
    w = jnp.array([[1.0, -2.0], [1000.0, 500.0]])
    np.testing.assert_allclose(Int8.of(w, 1).scale, [2 / 127, 1000 / 127])
    np.testing.assert_allclose(Int8.of(w, 1)[jnp.array([1, 0])], [[1000, 500], [1, -2]], rtol=0.01)


def test_zeros_stay_zeros():
    with jax.debug_nans(True):  # a NaN that became a whole number would not be seen
        zeros = Int8.of(jnp.zeros((3, 4)), 1)
        np.testing.assert_array_equal(zeros.product(jnp.zeros((2, 4))), np.zeros((2, 3)))
        np.testing.assert_array_equal(zeros.product(jnp.ones((2, 4))), np.zeros((2, 3)))


@given(st.integers(1, 9), st.integers(0, 2**31))
def test_a_row_does_not_depend_on_what_stands_beside_it(rows, seed):
    keys = jax.random.split(jax.random.key(seed))
    x, w = jax.random.normal(keys[0], (rows, 64)), Int8.of(jax.random.normal(keys[1], (48, 64)), 1)
    product = jax.jit(w.product)
    np.testing.assert_array_equal(jnp.concatenate([product(x[n : n + 1]) for n in range(rows)]), product(x))


def dequantized(leaf):
    """The matrix that an `Int8` of this model stands for, as the float model has it."""
    if not isinstance(leaf, Int8):
        return leaf
    outputs = leaf.scale.ndim
    w = leaf.values * jnp.expand_dims(leaf.scale, range(outputs, leaf.values.ndim))  # type: ignore[arg-type]
    return w if w.shape[0] == CONFIG.vocab_size else jnp.moveaxis(w, range(outputs), range(-outputs, 0))


@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_embeddings": False}, {"norm": "post", "embedding_dropout_target": "matrix"}],
    ids=["gpt2", "untied", "gpt1"],
)
def test_a_decoder_of_int8_is_near_the_decoder_of_the_matrices_it_stands_for(changes):
    config = dataclasses.replace(CONFIG, **changes)
    rounded_config, rounded = quantized(config, parameters(config))
    plain = jax.tree.map(dequantized, rounded, is_leaf=lambda leaf: isinstance(leaf, Int8))
    tokens = jax.random.randint(jax.random.key(2), (3, 20), 0, 61)
    logits: Any = GPT(config).apply({"params": plain}, tokens)
    found: Any = GPT(rounded_config).apply({"params": rounded}, tokens)
    assert 0 < float(jnp.abs(found - logits).max()) < 0.03 * float(jnp.abs(logits).max())  # rows are rounded, too


def test_matrices_and_tables_take_a_quarter_and_the_rest_stays():
    params = parameters(CONFIG)
    _, rounded = quantized(CONFIG, params)
    whole = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    kept = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(rounded)}
    matrices = {name for name in whole if name not in kept}
    assert {name.split("'")[-2] for name in matrices} == {"kernel", "wte"} and len(matrices) == 4 * 2 + 1
    for name in matrices:
        assert kept[f"{name}.values"].nbytes == whole[name].nbytes / 4
    for name in whole.keys() & kept.keys():
        np.testing.assert_array_equal(whole[name], kept[name])


def test_stacked_layers_give_the_same():
    stacked = dataclasses.replace(CONFIG, scan_layers=True)
    one, other = quantized(CONFIG, parameters(CONFIG)), quantized(stacked, stack_layers(CONFIG, parameters(CONFIG)))
    assert one[0] == other[0]
    jax.tree.map(np.testing.assert_array_equal, one[1], other[1])


def test_generated_tokens_are_the_likeliest_of_the_whole_context_alone_and_beside_others():
    config, params = quantized(CONFIG, parameters(dataclasses.replace(CONFIG, initialization_std=0.3)))
    text, logits_of = [5, 17, 42], jax.jit(GPT(config).apply)
    for _ in range(8):
        padded = jnp.array([text + [0] * (11 - len(text))])  # what follows a token does not change its logits
        logits: Any = logits_of({"params": params}, padded)
        text.append(int(logits[0, len(text) - 1].argmax()))
    assert len(set(text[3:])) > 2  # no repetition, which any decoder would give
    assert generate(config, params, [[5, 17, 42]], 8, temperature=0.0) == [text[3:]]
    assert generate(config, params, [[9], [5, 17, 42]], 8, temperature=0.0)[1] == text[3:]


def test_the_lstm_is_refused_by_name():
    config = dataclasses.replace(CONFIG, architecture="lstm")
    with pytest.raises(InputError, match="int8: the architecture 'lstm' is not allowed: 'transformer' is"):
        quantized(config, parameters(config))
