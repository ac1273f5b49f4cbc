"""The loss is GPT-1's equation 1, whatever part of the logits exists at once."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt_jax.config import ModelConfig
from gpt_jax.training import objectives
from gpt_jax.training.objectives import cross_entropy, language_model_loss, loss_chunk


def float64_loss_and_gradients(h, w, targets, weights):
    """The definition, and its derivatives by hand."""
    logits = h @ w.T
    logits -= logits.max(-1, keepdims=True)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    one_hot = np.eye(w.shape[0])[targets]
    loss = -(np.log((p * one_hot).sum(-1)) * weights).sum()
    g = (p - one_hot) * weights[..., None]
    return loss, g @ w, np.einsum("btv,btm->vm", g, h)


@settings(max_examples=settings().max_examples // 5)
@given(length=st.integers(1, 9), chunk=st.integers(1, 10), seed=st.integers(0, 100))
def test_chunked_loss_and_gradients_are_the_definition(length, chunk, seed):
    rng = np.random.default_rng(seed)
    h, w = rng.normal(size=(2, length, 4)), rng.normal(size=(11, 4))
    targets, weights = rng.integers(0, 11, (2, length)), rng.integers(0, 3, (2, length)).astype(float)
    loss, dh, dw = float64_loss_and_gradients(h, w, targets, weights)

    def ours(h, w):
        loss: Any = cross_entropy(h, w, jnp.asarray(targets), jnp.float32(weights), jnp.dtype("float32"), chunk)
        return 0.5 * loss

    value, (by_h, by_w) = jax.jit(jax.value_and_grad(ours, (0, 1)))(jnp.float32(h), jnp.float32(w))
    np.testing.assert_allclose(value, 0.5 * loss, rtol=1e-5)
    np.testing.assert_allclose(by_h, 0.5 * dh, atol=2e-6)
    np.testing.assert_allclose(by_w, 0.5 * dw, atol=1e-5)


@pytest.mark.parametrize("chunk", [2, 5])
def test_cudas_whole_tiles_of_the_vocabulary_change_no_loss_and_no_gradient(chunk, monkeypatch):
    """There the output matrix has 128 rows for 11 entries; a target of -1 has weight 0."""
    monkeypatch.setattr(objectives, "on_cuda", lambda: True)
    rng = np.random.default_rng(0)
    h, w = rng.normal(size=(2, 5, 4)), rng.normal(size=(11, 4))
    targets, weights = rng.integers(0, 11, (2, 5)), np.ones((2, 5))
    targets[1, 3:], weights[1, 3:] = -1, 0
    loss, dh, dw = float64_loss_and_gradients(h, w, targets, weights)

    def ours(h, w):
        return cross_entropy(h, w, jnp.asarray(targets), jnp.float32(weights), jnp.dtype("float32"), chunk)

    jitted = jax.jit(jax.value_and_grad(ours, (0, 1)))
    value, (by_h, by_w) = jitted(jnp.float32(h), jnp.float32(w))
    assert "tensor<128x4xf32>" in jitted.lower(jnp.float32(h), jnp.float32(w)).as_text()
    np.testing.assert_allclose(value, loss, rtol=1e-5)
    np.testing.assert_allclose(by_h, dh, atol=2e-6)
    np.testing.assert_allclose(by_w, dw, atol=1e-5)


def test_chunks_are_given_or_follow_from_the_size_of_the_logits():
    small = ModelConfig(vocab_size=100, n_head=1, d_model=8)
    assert loss_chunk(small, 4, 1024) == 1024
    assert loss_chunk(ModelConfig(vocab_size=100, n_head=1, d_model=8, loss_chunk=300), 4, 1024) == 256
    gpt2 = ModelConfig()
    chunk = loss_chunk(gpt2, 12, 1024)
    assert 12 * chunk * gpt2.vocab_size <= 2**26 and chunk > 64


def test_float32_logits_never_exist_whole():
    """GPT-2's vocabulary, 4 sequences of 256 tokens: the whole logits would take 206 MB."""
    config = ModelConfig(n_layer=1, n_head=1, d_model=16, context_length=256, loss_chunk=16)
    from gpt_jax.model.decoder import GPT

    tokens = jax.ShapeDtypeStruct((4, 257), jnp.int32)
    params = jax.eval_shape(GPT(config).init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]

    def temporaries(chunk):
        c = ModelConfig(**{**vars(config), "loss_chunk": chunk})
        step = jax.jit(jax.grad(lambda params, tokens: language_model_loss(c, params, tokens)))
        memory: Any = step.lower(params, tokens).compile().memory_analysis()
        return memory.temp_size_in_bytes

    whole = 4 * 256 * 50257 * 4
    assert temporaries(16) < whole / 4
    assert temporaries(256) > whole


@pytest.mark.parametrize("chunk", [None, 3])
def test_loss_is_the_log_likelihood_of_each_next_token(chunk):
    config = ModelConfig(vocab_size=7, n_layer=1, n_head=2, d_model=8, context_length=8, loss_chunk=chunk)
    from gpt_jax.model.decoder import GPT

    tokens = jnp.array([[1, 2, 3, 4, 5, 6, 0, 1], [3, 3, 0, 5, -1, -1, -1, -1]])
    params = jax.jit(GPT(config).init)(jax.random.key(0), tokens)["params"]
    logits: Any = jax.jit(GPT(config).apply)({"params": params}, tokens[:, :-1])
    log_p = np.asarray(jax.nn.log_softmax(logits), np.float64)
    expected = -sum(log_p[0, t, tokens[0, t + 1]] for t in range(7)) - sum(
        log_p[1, t, tokens[1, t + 1]] for t in range(3)
    )
    ours = jax.jit(language_model_loss, static_argnums=0)(config, params, tokens)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
