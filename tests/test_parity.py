"""Our decoder computes what Transformers' GPT-1 and GPT-2 compute, in values, gradients and one training step.

Each claim is checked against golden files, and against models built on the spot where torch and transformers
import (`live`).
"""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gpt_jax.config import ModelConfig, OptimizerConfig
from gpt_jax.interop import from_named_tensors, to_named_tensors
from gpt_jax.interop.layout import model_config
from gpt_jax.model.decoder import GPT
from gpt_jax.model.layers_layout import stack_layers
from gpt_jax.training.optimizer import make_optimizer
from tests.make_golden import ADAMW, GOLDEN, MODEL_TYPES, Reference, load, reference

LIVE = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
VARIANTS = {
    "block": {"attention_implementation": "block"},
    "mask": {"attention_implementation": "mask"},
    "scanned": {"scan_layers": True},
}


@pytest.fixture(
    scope="module",
    params=[f"{t}-golden" for t in MODEL_TYPES]
    + [pytest.param(f"{t}-live", marks=pytest.mark.slow) for t in MODEL_TYPES],
)
def transformers_model(request) -> Reference:
    model_type, _, source = request.param.rpartition("-")
    if source == "golden":
        return load(GOLDEN / f"{model_type}.safetensors")
    if not LIVE:
        pytest.skip("torch and transformers are not installed (extra: parity)")
    return reference(model_type, seed=1)


def ours(theirs: Reference, **changes: Any) -> tuple[ModelConfig, dict[str, Any]]:
    """The same model here: config and parameters."""
    config = dataclasses.replace(model_config(theirs.config), **changes)
    params = from_named_tensors(dataclasses.replace(config, scan_layers=False), theirs.weights)
    return config, stack_layers(config, params) if config.scan_layers else params


def mean_loss(params: dict[str, Any], tokens_BT: jax.Array, config: ModelConfig) -> tuple[jax.Array, jax.Array]:
    """Mean next-token loss in nats, and the logits."""
    logits_BTV = GPT(config).apply({"params": params}, tokens_BT)
    assert isinstance(logits_BTV, jax.Array)
    losses_BT = optax.softmax_cross_entropy_with_integer_labels(logits_BTV[:, :-1], tokens_BT[:, 1:])
    return losses_BT.mean(), logits_BTV


value_and_grad = jax.jit(jax.value_and_grad(mean_loss, has_aux=True), static_argnames="config")


def assert_close_by_name(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], tolerance: float) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("variant", VARIANTS)
def test_values_gradients_and_an_adamw_step_equal_transformers(transformers_model, variant):
    theirs = transformers_model
    config, params = ours(theirs, **VARIANTS[variant])
    (loss, logits_BTV), gradients = value_and_grad(params, theirs.tokens_BT, config=config)
    assert logits_BTV.dtype == jnp.float32
    np.testing.assert_allclose(logits_BTV, theirs.logits_BTV, rtol=0, atol=1e-5)
    assert float(loss) == pytest.approx(theirs.loss, abs=1e-6)
    assert_close_by_name(to_named_tensors(config, gradients), theirs.gradients, 1e-6)

    optimizer = make_optimizer(dataclasses.replace(OptimizerConfig(clip_norm=None), **ADAMW))
    directions, _ = jax.jit(optimizer.update)(gradients, optimizer.init(params), params)
    stepped = jax.tree.map(lambda p, d: p - ADAMW["learning_rate"] * d, params, directions)
    assert_close_by_name(to_named_tensors(config, stepped), theirs.stepped, 1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not LIVE, reason="torch and transformers are not installed (extra: parity)")
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_gradients_equal_transformers_with_an_untied_head(model_type):
    theirs = reference(model_type, seed=2, tie_word_embeddings=False)
    config, params = ours(theirs)
    assert not config.tie_embeddings
    _, gradients = value_and_grad(params, theirs.tokens_BT, config=config)
    assert_close_by_name(to_named_tensors(config, gradients), theirs.gradients, 1e-6)


def pre_norm(config: ModelConfig, params: dict[str, Any]) -> tuple[ModelConfig, dict[str, Any]]:
    identity = {"scale": jnp.ones(config.d_model), "bias": jnp.zeros(config.d_model)}
    return dataclasses.replace(config, norm="pre"), {**params, "ln_f": identity}


def larger_epsilon(config: ModelConfig, params: dict[str, Any]) -> tuple[ModelConfig, dict[str, Any]]:
    return dataclasses.replace(config, layer_norm_epsilon=1e-3), params


def exact_gelu(config: ModelConfig, params: dict[str, Any]) -> tuple[ModelConfig, dict[str, Any]]:
    return config, params


@pytest.mark.parametrize("mutation", [pre_norm, larger_epsilon, exact_gelu])
def test_the_tolerance_tells_another_function_apart(mutation, monkeypatch):
    theirs = load(GOLDEN / "openai-gpt.safetensors")
    config, params = mutation(*ours(theirs))
    if mutation is exact_gelu:
        monkeypatch.setattr(nn, "gelu", lambda x, approximate: jax.nn.gelu(x, approximate=False))
    _, logits_BTV = jax.jit(mean_loss, static_argnames="config")(params, theirs.tokens_BT, config=config)
    assert np.abs(np.asarray(logits_BTV) - theirs.logits_BTV).max() > 1e-4
