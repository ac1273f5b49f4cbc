"""L2, L1 and L3 number for number: against the released code's formulas in float64."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gpt_jax.errors import InputError
from gpt_jax.finetuning import parameters
from gpt_jax.finetuning.classifier import make_objective
from gpt_jax.finetuning.objective import auxiliary_loss, forward, grid, losses, predictions, soft_labels
from gpt_jax.finetuning.transformations import SpecialTokens, encode
from gpt_jax.model.interface import language_model
from tests.finetuning.oracle import Released, cross_entropy, softmax
from tests.finetuning.tiny import MODEL as TINY
from tests.finetuning.tiny import run_config, task

forward = jax.jit(forward, static_argnums=0)
losses = jax.jit(losses, static_argnums=0)
auxiliary_loss = jax.jit(auxiliary_loss, static_argnums=0)
RNG = np.random.default_rng(0)
MODEL = dataclasses.replace(TINY, n_layer=1)
SPECIAL = SpecialTokens.after(MODEL.vocab_size)
TEXTS = {"classification": 1, "entailment": 2, "similarity": 2, "multiple_choice": 5}
LENGTH = 24


def random_texts(shape, count=4):
    """Token lists; of multiple choice, each example has an answer fewer than the one before, down to two."""
    sizes = [max(4, TEXTS[shape] - n) if shape == "multiple_choice" else TEXTS[shape] for n in range(count)]
    return [[RNG.integers(0, 257, RNG.integers(1, 6)).tolist() for _ in range(size)] for size in sizes]


def setting(shape, interval=None, **changes) -> tuple[Any, ...]:
    """The objective, its parameters (nothing 0), encoded examples and labels."""
    t = task(shape, interval)
    objective = make_objective(dataclasses.replace(run_config(**changes), model=MODEL), t)
    params = parameters.init(MODEL, objective.outputs, 1)
    params = jax.tree.map(lambda leaf: leaf + 0.1 * RNG.normal(size=leaf.shape).astype(np.float32), params)
    labels = RNG.uniform(0, 5, 4).astype(np.float32) if interval else np.array([0, 1, 1, 0])
    encoded = encode(shape, random_texts(shape), list(labels), SPECIAL, LENGTH, real_labels=interval is not None)
    return objective, params, encoded.tokens_NKT, encoded.labels_N


def present(tokens_BKT):
    """All sequences that there are, padded with 0, and which tokens are there."""
    tokens = tokens_BKT.reshape(-1, tokens_BKT.shape[-1])
    tokens = tokens[(tokens >= 0).any(1)]
    return np.maximum(tokens, 0), tokens >= 0


def expected_scores(model: Released, shape, tokens_BKT):
    tokens = np.maximum(tokens_BKT, 0)
    if shape == "multiple_choice":
        scores = np.stack([model.scores(model.extracted(row))[:, 0] for row in tokens])
        return np.where((tokens_BKT >= 0).any(-1), scores, -np.inf)
    return model.scores(sum(model.extracted(tokens[:, n]) for n in range(tokens.shape[1])))


@pytest.mark.parametrize("shape", TEXTS)
@pytest.mark.parametrize("rows", ["tokens", "positions"])
def test_l3_is_the_released_codes_formula(shape, rows):
    objective, params, tokens, labels = setting(shape, auxiliary_rows=rows)
    model = Released(params, MODEL.n_layer)
    supervised = cross_entropy(expected_scores(model, shape, tokens), labels).mean()
    ids, mask = present(tokens)
    auxiliary = model.language_model_losses(ids, mask, model.tokens if rows == "tokens" else None).mean()
    total, parts = losses(objective, parameters.joined(params), tokens, labels, 0.5)
    assert float(parts["supervised_loss"]) == pytest.approx(supervised, rel=2e-5)
    assert float(parts["auxiliary_loss"]) == pytest.approx(auxiliary, rel=2e-5)
    assert float(total) == pytest.approx(supervised + 0.5 * auxiliary, rel=2e-5)


def test_the_papers_sum_is_the_mean_times_the_targets_of_each_sequence():
    objective, params, tokens, _ = setting("entailment", auxiliary="sum")
    model = Released(params, MODEL.n_layer)
    ids, mask = present(tokens)
    expected = (model.language_model_losses(ids, mask, model.tokens) * mask[:, 1:].sum(1)).mean()
    joined = parameters.joined(params)
    _, h, head = forward(objective, joined, jnp.asarray(tokens))
    assert float(auxiliary_loss(objective, joined, jnp.asarray(tokens), h, head)) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("shape", TEXTS)
def test_probabilities_are_the_softmax_of_the_scores_and_absent_answers_have_none(shape):
    objective, params, tokens, _ = setting(shape)
    scores, _, _ = forward(objective, parameters.joined(params), jnp.asarray(tokens))
    expected = expected_scores(Released(params, MODEL.n_layer), shape, tokens)
    np.testing.assert_allclose(predictions(objective, scores), softmax(expected), rtol=1e-4, atol=1e-6)
    if shape == "multiple_choice":
        assert not np.asarray(predictions(objective, scores))[~(tokens >= 0).any(-1)].any()


def test_absent_answers_leave_every_gradient_finite_and_what_pads_changes_nothing():
    objective, params, tokens, labels = setting("multiple_choice")
    loss = lambda params, tokens: losses(objective, parameters.joined(params), tokens, labels, 0.5)[0]  # noqa: E731
    value, grads = jax.jit(jax.value_and_grad(loss))(params, tokens)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    wider = np.pad(tokens, ((0, 0), (0, 2), (0, 8)), constant_values=-1)
    more, more_grads = jax.jit(jax.value_and_grad(loss))(params, wider)
    assert float(more) == pytest.approx(float(value), rel=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), grads, more_grads)


def test_soft_labels_are_those_of_tai_et_al():
    """p_floor = floor + 1 - y and p_(floor + 1) = y - floor; 0 elsewhere."""
    labels = np.array([0.0, 0.25, 3.8, 4.0, 4.999, 5.0])
    expected = np.zeros((6, 6))
    for row, y in zip(expected, labels, strict=True):
        low = int(np.floor(y))
        row[low] = low + 1 - y
        if low < 5:
            row[low + 1] = y - low
    np.testing.assert_allclose(soft_labels(jnp.asarray(labels, jnp.float32), grid((0, 5))), expected, atol=1e-6)
    assert list(grid((1, 5))) == [1, 2, 3, 4, 5]


def test_a_range_with_too_many_classes_is_refused():
    with pytest.raises(InputError, match=r"soft_labels.* 0 to 5000.* mse"):
        grid((0, 5000))


def test_similarity_scores_are_the_cross_entropy_with_soft_labels_and_an_expectation():
    objective, params, tokens, labels = setting("similarity", (0, 5))
    assert objective.outputs == 6
    scores = expected_scores(Released(params, MODEL.n_layer), "similarity", tokens)
    p = softmax(scores)
    low = np.floor(labels).astype(int)
    part = labels.astype(np.float64) - low
    rows = np.arange(4)
    expected = -((1 - part) * np.log(p[rows, low]) + part * np.log(p[rows, low + 1]))
    total, _ = losses(objective, parameters.joined(params), jnp.asarray(tokens), labels, 0.0)
    assert float(total) == pytest.approx(expected.mean(), rel=2e-5)
    found = predictions(objective, forward(objective, parameters.joined(params), jnp.asarray(tokens))[0])
    np.testing.assert_allclose(found, p @ np.arange(6), rtol=1e-4)


def test_mse_is_of_the_label_moved_to_0_to_1():
    objective, params, tokens, labels = setting("similarity", (1, 5), regression="mse")
    assert objective.outputs == 1
    value = expected_scores(Released(params, MODEL.n_layer), "similarity", tokens)[:, 0]
    total, _ = losses(objective, parameters.joined(params), jnp.asarray(tokens), labels, 0.0)
    assert float(total) == pytest.approx(((value - (labels - 1) / 4) ** 2).mean(), rel=2e-5)
    found = predictions(objective, forward(objective, parameters.joined(params), jnp.asarray(tokens))[0])
    np.testing.assert_allclose(found, 1 + 4 * value, rtol=1e-4)


def test_lambda_0_is_l2_alone_in_value_and_gradient():
    objective, params, tokens, labels = setting("classification")
    grad = jax.jit(jax.grad(lambda p, weight: losses(objective, parameters.joined(p), tokens, labels, weight)[0]))
    zero, one = grad(params, 0.0), grad(params, 1.0)
    model = Released(params, MODEL.n_layer)
    features = model.extracted(np.maximum(tokens[:, 0], 0))
    error = softmax(model.scores(features)) - np.eye(2)[labels]
    for found in (zero, one):  # L1 does not touch the classifier
        np.testing.assert_allclose(found["classifier"]["kernel"], features.T @ error / 4, rtol=1e-3, atol=1e-5)
    unseen = sorted(set(range(257)) - set(tokens.ravel().tolist()))
    assert not np.asarray(zero["model"]["wte"])[unseen[1:]].any(), "L2 reaches only the rows that are read"
    assert np.asarray(one["model"]["wte"])[unseen].any(), "L1's softmax is over all rows"


def test_candidates_of_an_example_share_one_dropout_mask_and_examples_do_not():
    objective, params, tokens, _ = setting("multiple_choice", classifier_dropout=0.5)
    same = np.repeat(tokens[:1, :1], 4, axis=0).repeat(3, axis=1)  # one sequence everywhere
    scores, _, _ = forward(objective, parameters.joined(params), jnp.asarray(same), jax.random.key(0))
    np.testing.assert_allclose(scores, scores[:, :1].repeat(3, axis=1), rtol=1e-5)
    assert len(np.unique(np.round(scores[:, 0], 3))) == 4


def test_dropout_keeps_the_mean_of_the_features():
    objective, params, tokens, _ = setting("classification", classifier_dropout=0.3)
    many = jnp.asarray(np.repeat(tokens[:1], 4000, axis=0))
    joined = parameters.joined(params)
    exact = forward(objective, joined, many[:1])[0][0]
    dropped = forward(objective, joined, many, jax.random.key(0))[0]
    spread = np.asarray(dropped).std(0) / np.sqrt(len(many))
    assert (np.abs(np.asarray(dropped).mean(0) - np.asarray(exact)) < 5 * spread).all() and (spread > 0).all()


def test_with_special_tokens_appends_three_rows_of_0_02_and_leaves_the_rest():
    config = dataclasses.replace(MODEL, d_model=2000, n_head=1, n_layer=1, tie_embeddings=False)
    tokens = jnp.zeros((1, 1), jnp.int32)
    shapes = jax.eval_shape(language_model(config).init, jax.random.key(0), tokens)["params"]
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)
    extended, new = parameters.with_special_tokens(config, params, jax.random.key(3))
    assert extended.vocab_size == 260
    for name in ("wte", "lm_head"):
        assert new[name].shape == (260, 2000) and not np.asarray(new[name][:257]).any()
        assert float(jnp.std(new[name][257:])) == pytest.approx(0.02, rel=0.05)
    assert not np.array_equal(new["wte"][257:], new["lm_head"][257:])
