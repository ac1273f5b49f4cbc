"""The step against its definition, computed another way."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gpt_jax import GPT
from gpt_jax.config import override
from gpt_jax.training.objectives import language_model_loss, token_losses
from gpt_jax.training.state import init_state
from gpt_jax.training.step import make_train_step
from tests.training.tiny import TINY

SMALL = override(TINY, {"model.n_layer": 1})
TOKENS = np.asarray(jax.random.randint(jax.random.key(1), (4, 17), 0, 257), np.int32)


@functools.cache
def start(model):
    return jax.jit(lambda: init_state(dataclasses.replace(SMALL, model=model)))()


def one_step(config, tokens_ABT1):
    return jax.jit(make_train_step(config))(start(config.model), tokens_ABT1, np.float32(1e-2), np.uint32(0))


def assert_trees_close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def test_token_losses_are_minus_log_softmax_in_float64():
    logits = np.random.default_rng(0).normal(size=(2, 3, 7)) * 30
    targets = np.array([[1, 6, -1], [0, -1, 3]])
    exact = np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)) + logits.max(-1)
    exact = exact - np.take_along_axis(logits, np.maximum(targets, 0)[..., None], -1)[..., 0]
    ours = token_losses(jnp.float32(logits), jnp.asarray(targets))
    np.testing.assert_allclose(ours, np.where(targets >= 0, exact, 0), rtol=1e-5, atol=1e-4)


def test_the_loss_is_l1_over_the_targets_that_are_not_padding():
    params = start(SMALL.model).params
    tokens = TOKENS.copy()
    tokens[0, 9:] = -1
    apply = jax.jit(lambda inputs: GPT(SMALL.model).apply({"params": params}, inputs))
    logits = np.asarray(apply(np.maximum(tokens[:, :-1], 0)), np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -sum(log_p[b, t, tokens[b, t + 1]] for b in range(4) for t in range(16) if tokens[b, t + 1] >= 0)
    ours = jax.jit(lambda: language_model_loss(SMALL.model, params, jnp.asarray(tokens)))()
    assert float(ours) == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def whole_batch():
    return one_step(SMALL, TOKENS[None])


@pytest.mark.parametrize("shape", [(2, 2), pytest.param((4, 1), marks=pytest.mark.slow)])
def test_accumulated_micro_batches_equal_one_batch(whole_batch, shape):
    state, metrics = one_step(SMALL, TOKENS.reshape(*shape, 17))
    assert_trees_close(metrics, whole_batch[1], rtol=1e-5)
    assert_trees_close(state.params, whole_batch[0].params, atol=2e-5)
    assert int(state.step) == 1


def test_padding_micro_batches_do_not_count(whole_batch):
    """While the batch ramps up, a step is as if the missing micro-batches did not exist."""
    ramping = override(SMALL, {"training.batch_ramp_tokens": 1000, "training.micro_batch": 1})
    padded = np.concatenate([TOKENS.reshape(4, 1, 17), np.full((3, 1, 17), -1, np.int32)])
    state, metrics = one_step(ramping, padded)
    assert_trees_close(metrics, whole_batch[1], rtol=1e-5)
    assert_trees_close(state.params, whole_batch[0].params, atol=2e-5)


def test_padded_rows_beside_real_ones_do_not_count(whole_batch):
    """While the batch ramps up over a mesh, rows that no sequence fills change nothing."""
    ramping = override(SMALL, {"training.batch_ramp_tokens": 1000})
    padded = np.concatenate([TOKENS, np.full((3, 17), -1, np.int32)])[None]
    state, metrics = one_step(ramping, padded)
    assert_trees_close(metrics, whole_batch[1], rtol=1e-5)
    assert_trees_close(state.params, whole_batch[0].params, atol=2e-5)


def test_the_step_is_the_optimizers_formula_on_the_mean_loss(whole_batch):
    """optax's own AdamW, with its mask and its rate, on jax.grad of the mean."""
    config = SMALL.optimizer
    state = start(SMALL.model)
    mean = lambda p: language_model_loss(SMALL.model, p, jnp.asarray(TOKENS)) / (4 * 16)  # noqa: E731
    loss, grads = jax.jit(jax.value_and_grad(mean))(state.params)
    decays = jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key not in ("bias", "scale"), grads)
    theirs = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(1e-2, config.b1, config.b2, config.epsilon, weight_decay=config.weight_decay, mask=decays),
    )
    updates, _ = jax.jit(theirs.update)(grads, theirs.init(state.params), state.params)
    stepped, metrics = whole_batch
    assert float(metrics["train/loss"]) == pytest.approx(float(loss), rel=1e-6)
    assert float(metrics["gradient_norm"]) == pytest.approx(float(optax.global_norm(grads)), rel=1e-5)
    assert_trees_close(stepped.params, optax.apply_updates(state.params, updates), atol=1e-6)


def test_dropout_follows_seed_and_step_and_nothing_else():
    config = override(SMALL, {"model.residual_dropout": 0.3})
    step = jax.jit(make_train_step(config))
    first = start(config.model)
    loss = lambda state, seed: float(step(state, TOKENS[None], np.float32(0), np.uint32(seed))[1]["train/loss"])  # noqa: E731
    assert loss(first, 0) == loss(first, 0)
    assert loss(first, 0) != loss(first, 1)
    assert loss(first, 0) != loss(first.replace(step=first.step + 1), 0)
