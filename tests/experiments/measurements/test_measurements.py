"""What the ablations measure, against closed forms and a direct computation."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.measurements.initial_gradient import log_slope, norm_at
from experiments.measurements.positions import BUCKET, HALF, WINDOW, score, summary
from experiments.measurements.unigram import entropy
from gpt_jax.config import ModelConfig
from gpt_jax.model.decoder import GPT
from gpt_jax.model.layers_layout import unstack_layers

TINY = ModelConfig(
    vocab_size=11,
    context_length=WINDOW,
    n_layer=1,
    n_head=1,
    d_model=4,
    initialization_std=0.5,
    embedding_dropout=0,
    attention_dropout=0,
    residual_dropout=0,
)


def windows(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, TINY.vocab_size, (rows, WINDOW + 1)).astype(np.int32)


def direct_losses(model: ModelConfig, params, tokens_BT1: np.ndarray) -> np.ndarray:
    """-log softmax of the target, float64 NumPy over the model's logits."""
    logits = np.asarray(jax.jit(GPT(model).apply)({"params": params}, tokens_BT1[:, :-1]), np.float64)
    log_total = np.log(np.exp(logits).sum(-1))
    return log_total - np.take_along_axis(logits, tokens_BT1[:, 1:, None], -1)[..., 0]


@pytest.fixture(scope="module")
def long_params():
    return jax.jit(GPT(TINY).init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]


def test_a_full_context_is_scored_with_all_of_its_history(long_params):
    tokens = windows(2)
    nats, count = score(TINY, long_params, [tokens[:1], tokens[1:]])
    assert nats == pytest.approx(direct_losses(TINY, long_params, tokens).sum(axis=0), rel=1e-4)
    assert (count == 2).all()


def test_a_short_context_scores_the_same_targets_in_chunks(long_params):
    short = dataclasses.replace(TINY, context_length=HALF)
    params = {**long_params, "wpe": long_params["wpe"][:HALF]}
    tokens = windows(2)
    nats, count = score(short, params, [tokens])
    first = direct_losses(short, params, tokens[:, : HALF + 1])
    second = direct_losses(short, params, tokens[:, HALF:])
    assert nats == pytest.approx(np.concatenate([first, second], axis=1).sum(axis=0), rel=1e-4)
    assert count.sum() == 2 * WINDOW


def test_both_contexts_agree_where_they_have_the_same_history(long_params):
    short = dataclasses.replace(TINY, context_length=HALF)
    params = {**long_params, "wpe": long_params["wpe"][:HALF]}
    tokens = windows(1)
    long_nats, short_nats = (score(c, p, [tokens])[0] for c, p in ((TINY, long_params), (short, params)))
    assert long_nats[:HALF] == pytest.approx(short_nats[:HALF], rel=1e-4)
    assert np.abs(long_nats[HALF:] - short_nats[HALF:]).max() > 1e-3


def test_padding_is_not_scored(long_params):
    tokens = windows(1)
    tokens[0, 100:] = -1
    nats, count = score(TINY, long_params, [tokens])
    assert count.sum() == 99
    assert nats[99:].sum() == 0


def test_the_summary_weighs_tokens_not_windows():
    nats, count = np.zeros(WINDOW), np.zeros(WINDOW, np.int64)
    nats[0], count[0] = 6.0, 3
    nats[HALF], count[HALF] = 5.0, 1
    means = summary(nats, count)
    assert means["same_tokens/loss"] == 11 / 4
    assert means["same_tokens/loss_first_half"] == 2
    assert means["same_tokens/loss_second_half"] == 5
    profile = means["same_tokens/loss_by_position"]
    assert isinstance(profile, list)
    assert (profile[0], profile[HALF // BUCKET], len(profile)) == (2, 5, WINDOW // BUCKET)
    assert math.isnan(profile[1])


def test_unigram_entropy_counts_scored_targets_only():
    # Targets: 1, 1, 2, 5 and padding; the first column is never a target.
    batches = [np.array([[9, 1, 1], [9, 2, -1]], np.int32), np.array([[9, 5, -1]], np.int32)]
    assert entropy(batches) == pytest.approx(1.5 * math.log(2))


def test_uniform_targets_have_the_entropy_of_their_number():
    assert entropy([np.arange(9)[None]]) == pytest.approx(math.log(8))


def test_the_slope_of_an_inverse_square_root_is_minus_a_half():
    assert log_slope({n: 3 / math.sqrt(n) for n in (2, 6, 12, 24)}) == pytest.approx(-0.5)


@pytest.mark.slow
def test_the_gradient_norm_equals_the_one_of_the_whole_model():
    model = dataclasses.replace(TINY, n_layer=2, context_length=8)
    scanned = dataclasses.replace(model, scan_layers=True)
    tokens = windows(2)[:, :9]
    key = jax.random.fold_in(jax.random.key(3), 0)
    stacked = jax.jit(GPT(scanned).init)(key, jnp.zeros((1, 1), jnp.int32))["params"]

    @jax.jit
    def loss(params):
        logits = GPT(model).apply({"params": params}, tokens[:, :-1])
        return -jnp.take_along_axis(jax.nn.log_softmax(jnp.asarray(logits)), tokens[:, 1:, None], -1).mean()

    gradients = jax.jit(jax.grad(loss))(unstack_layers(scanned, dict(stacked)))
    expected = jnp.linalg.norm(gradients["block_1"]["mlp"]["down"]["kernel"])
    assert norm_at(model, 3, tokens) == pytest.approx(float(expected), rel=1e-4)


def test_gradients_at_initialisation_fall_with_depth_in_pre_ln_and_not_in_post_ln():
    base = dataclasses.replace(
        TINY, vocab_size=64, context_length=32, d_model=32, n_head=2, initialization="xavier", initialization_std=0.02
    )
    tokens = np.random.default_rng(0).integers(0, 64, (8, 33)).astype(np.int32)
    slopes = {}
    for norm in ("pre", "post"):
        depths = {n: norm_at(dataclasses.replace(base, norm=norm, n_layer=n), 0, tokens) for n in (2, 18)}
        slopes[norm] = log_slope(depths)
    assert slopes["pre"] < -0.3
    assert abs(slopes["post"]) < 0.2
