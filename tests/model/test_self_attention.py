"""What computes a model's attention: said in words, and an error where what was asked for is not there."""

import jax
import jax.numpy as jnp
import pytest

from gpt_jax import GPT, ModelConfig
from gpt_jax.attention import Banded, Dense, Strided
from gpt_jax.errors import InputError
from gpt_jax.model.self_attention import attention_computed_by


def model(implementation, **changes):
    values = {
        "vocab_size": 29,
        "context_length": 16,
        "n_layer": 1,
        "n_head": 1,
        "d_model": 64,
        "attention_dropout": 0.0,
    }
    return ModelConfig(attention_implementation=implementation, **{**values, **changes})


def test_what_computes_each_pattern_is_said():
    patterns = (Dense(), Banded(256), Strided(8))
    config = model("auto", context_length=1024, n_layer=3, attention=patterns)
    said = attention_computed_by(config, "tpu")
    assert said == "Dense() by splash, Banded(window=256) by splash, Strided(stride=8) by block"
    assert attention_computed_by(config, "cpu").count("by block") == 3
    assert attention_computed_by(model("mask"), "tpu") == "Dense() by mask"
    assert attention_computed_by(ModelConfig(architecture="lstm"), "cpu") == "none"


@pytest.mark.parametrize(
    ("changes", "platform", "why"),
    [
        ({}, "cpu", "platform 'cpu'"),
        (
            {"context_length": 1024, "attention": (Strided(8),)},
            "tpu",
            "fold to pieces of 126 positions",
        ),
        ({"context_length": 1024, "attention_dropout": 0.1}, "tpu", "attention_dropout 0.1"),
        ({"context_length": 1024}, "cuda", "not float32"),
    ],
)
def test_a_kernel_that_does_not_apply_is_an_error_of_the_config(changes, platform, why):
    with pytest.raises(InputError, match=rf"model\.attention_implementation: 'kernel'.*{why}"):
        attention_computed_by(model("kernel", **changes), platform)


def test_a_demanded_kernel_is_looked_for_over_whole_contexts_only():
    """Parameters are made, and prompts read, with fewer tokens than any kernel takes."""
    gpt, short, whole = GPT(model("kernel")), jnp.zeros((1, 4), jnp.int32), jnp.zeros((1, 16), jnp.int32)
    params = jax.eval_shape(gpt.init, jax.random.key(0), short)
    jax.eval_shape(gpt.apply, params, short)
    with pytest.raises(InputError, match=r"model\.attention_implementation"):
        jax.eval_shape(gpt.apply, params, whole)
