"""The modules themselves work under JAX's settings that a user may have, not only what gpt_jax.numerics pins."""

from contextlib import ExitStack
from typing import Any

import jax
import numpy as np
import pytest

from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Strided
from gpt_jax.config import ModelConfig
from gpt_jax.model.interface import init_cache, language_model

SHAPE: dict[str, Any] = dict(vocab_size=61, context_length=40, n_layer=2, d_model=8)
MODELS = {
    "gpt1": ModelConfig(**SHAPE, n_head=2, norm="post", embedding_dropout_target="matrix"),
    "gpt3": ModelConfig(**SHAPE, n_head=2, attention=(Strided(3), Fixed(4, 1))),
    "scan": ModelConfig(
        **SHAPE, n_head=2, attention=(Dense(), Banded(3)), scan_layers=True, remat="full", compute_dtype="bfloat16"
    ),
    "mask": ModelConfig(**SHAPE, n_head=2, attention=(LogSparse(2),), attention_implementation="mask"),
    "lstm": ModelConfig(**SHAPE, n_head=1, architecture="lstm"),
    "bfloat16": ModelConfig(**SHAPE, n_head=2, param_dtype="bfloat16", compute_dtype="bfloat16"),
}
TOKENS = np.random.default_rng(0).integers(0, 61, (2, 40)).astype(np.int32)


@pytest.mark.parametrize("name", MODELS)
def test_under_64_bits_and_no_rank_promotion_a_model_traces_in_its_own_types(name):
    """Initialisation, logits, gradients with dropout, a prompt, one token and several after it."""
    config = MODELS[name]
    model = language_model(config)

    def everything(key, tokens):
        params = model.init(key, tokens)["params"]

        def loss(params):
            logits: Any = model.apply({"params": params}, tokens, deterministic=False, rngs={"dropout": key})
            return logits.mean()

        cache, out = init_cache(config, 2), []
        for start, end in ((0, 8), (8, 9), (9, 12)):
            logits, cache = model.apply({"params": params}, tokens[:, start:end], cache=cache)
            out.append(logits)
        return params, jax.value_and_grad(loss)(params), out, cache

    usual = jax.eval_shape(everything, jax.random.key(0), TOKENS)
    with ExitStack() as settings:
        settings.enter_context(jax.enable_x64(True))
        settings.enter_context(jax.numpy_rank_promotion("raise"))
        shapes = jax.eval_shape(everything, jax.random.key(0), TOKENS)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), shapes) == jax.tree.map(lambda x: (x.shape, x.dtype), usual)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt3", "lstm"])
def test_no_not_a_number_on_the_way(name):
    """JAX_DEBUG_NANS raises at the first one, in the gradient and in decoding with padding too."""
    config = MODELS[name]
    model = language_model(config)
    with jax.debug_nans(True):
        params = jax.jit(model.init)(jax.random.key(0), TOKENS)["params"]
        grads = jax.jit(jax.grad(lambda params: model.apply({"params": params}, TOKENS).mean()))(params)  # type: ignore[union-attr]
        prompt = np.where(np.arange(8) < [[8], [3]], TOKENS[:, :8], -1)
        run = jax.jit(lambda tokens, cache: model.apply({"params": params}, tokens, cache=cache))
        logits, _ = run(prompt, init_cache(config, 2))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((grads, logits)))
