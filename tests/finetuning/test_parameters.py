"""What is new, what is transferred, what trains; and that what is frozen stays, bit by bit."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gpt_jax.errors import InputError
from gpt_jax.finetuning import parameters
from gpt_jax.finetuning.classifier import make_objective
from gpt_jax.finetuning.transformations import SpecialTokens, encode
from gpt_jax.finetuning.update import finetuning_step, learning_rates
from gpt_jax.model.interface import language_model
from gpt_jax.training.optimizer import make_optimizer
from gpt_jax.training.state import TrainState
from tests.finetuning.tiny import MODEL, run_config, task

PRE_LN = dataclasses.replace(MODEL, norm="pre")
slow = lambda *values: pytest.param(*values, marks=pytest.mark.slow)  # noqa: E731


@functools.cache
def pretrained(config=MODEL):
    return jax.jit(language_model(config).init)(jax.random.key(9), jnp.zeros((1, 1), jnp.int32))["params"]


def batch(count=4):
    rng = np.random.default_rng(0)
    texts = [[rng.integers(0, 50, 5).tolist()] for _ in range(count)]
    return encode("classification", texts, [0, 1] * (count // 2), SpecialTokens.after(257), 8)


def update(trainable, config=MODEL, steps=3, weight=0.5):
    """(before, after, state): some updates of a model whose blocks all have gradients."""
    objective = dataclasses.replace(
        make_objective(run_config(), task("classification")), model=parameters.extended(config)
    )
    before = parameters.init(config, 2, 0, pretrained(config))
    trained, frozen = parameters.split(config, jax.tree.map(jnp.copy, before), trainable)
    state = TrainState(jnp.zeros((), jnp.int32), trained, make_optimizer(objective.optimizer).init(trained))
    data = batch()
    for _ in range(steps):
        state, _ = finetuning_step(
            objective, state, frozen, data.tokens_NKT, data.labels_N, np.float32(1e-3), np.float32(weight), np.uint32(0)
        )
    return before, parameters.merged(state.params, frozen), state


def changed(before, after) -> set[str]:
    """The names of leaves that differ in any bit, down to the block."""
    flat, other = (jax.tree_util.tree_flatten_with_path(tree)[0] for tree in (before, after))
    return {
        "/".join(key.key for key in path[:2])
        for (path, a), (_, b) in zip(flat, other, strict=True)
        if not np.array_equal(a, b)
    }


HEAD = {"special/wte", "classifier/kernel", "classifier/bias"}


@pytest.mark.parametrize(
    ("trainable", "model_leaves"),
    [
        ("all", {"model/wte", "model/wpe", "model/block_0", "model/block_1"}),
        ("head", set()),
        ("top:0", set()),
        slow("top:1", {"model/block_1"}),
    ],
)
def test_what_is_frozen_stays_bitwise_and_all_that_trains_moves(trainable, model_leaves):
    before, after, _ = update(trainable)
    assert changed(before, after) == HEAD | model_leaves


def test_the_final_norm_trains_with_the_top_blocks():
    before, after, _ = update("top:1", PRE_LN)
    assert changed(before, after) == HEAD | {"model/block_1", "model/ln_f"}


def test_the_embedding_rows_of_the_vocabulary_are_frozen_where_only_the_special_tokens_train():
    before, after, _ = update("head")
    joined = [parameters.joined(tree)["model"]["wte"] for tree in (before, after)]
    np.testing.assert_array_equal(joined[0][:257], joined[1][:257])
    assert (np.abs(joined[0][257:] - joined[1][257:]).max(axis=1) > 0)[[0, 2]].all(), "start and extract were read"


@pytest.mark.parametrize("trainable", ["all", "head", slow("top:1")])
def test_only_what_trains_has_optimizer_state(trainable):
    """Two moments for each trained number, and Adam's count."""
    _, after, state = update(trainable, steps=1)
    trained = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    moments = sum(leaf.size for leaf in jax.tree.leaves(state.opt_state))
    assert moments == 2 * trained + 1
    if trainable == "head":
        assert trained == 3 * 16 + 16 * 2 + 2
    if trainable == "all":
        assert trained == sum(leaf.size for leaf in jax.tree.leaves(after))


@pytest.mark.parametrize("spec", ["top:3", "top:", "body", "top:-1"])
def test_other_words_for_what_trains_are_refused(spec):
    with pytest.raises(InputError, match=r"finetuning\.trainable"):
        parameters.split(MODEL, parameters.init(MODEL, 2, 0), spec)


@pytest.mark.parametrize("config", [MODEL, PRE_LN], ids=["post", "pre"])
@pytest.mark.parametrize("layers", [-1, 0, 1, 2, None])
def test_the_first_n_layers_are_transferred_and_the_rest_is_fresh(config, layers):
    """The released code loads 1 + 12 n tensors; its one matrix of tokens and positions is two of ours."""
    source = pretrained(config)
    model = parameters.init(config, 2, 0, source, layers)["model"]
    scratch = parameters.init(config, 2, 0)["model"]
    assert jax.tree.structure(model) == jax.tree.structure(source)
    count = config.n_layer if layers is None else layers
    taken = {"wte", "wpe", *(f"block_{n}" for n in range(count))} if count >= 0 else set()
    taken |= {"ln_f"} if config.norm == "pre" and count == config.n_layer else set()
    for name in model:
        jax.tree.map(np.testing.assert_array_equal, model[name], (source if name in taken else scratch)[name])
    assert sum(len(jax.tree.leaves(model[n])) for n in taken if n.startswith("block")) == 12 * max(count, 0)


def test_what_is_new_depends_on_the_seed_alone_and_is_small():
    a, b, c = (parameters.init(MODEL, 2, seed, pretrained()) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, a, b)
    assert changed(a, c) == HEAD - {"classifier/bias"}
    wide = parameters.init(dataclasses.replace(MODEL, d_model=4000, n_head=1, n_layer=1), 5, 0, {})
    for leaf in (wide["classifier"]["kernel"], wide["special"]["wte"]):
        assert float(jnp.std(leaf)) == pytest.approx(0.02, rel=0.05)
    assert not np.asarray(wide["classifier"]["bias"]).any()


def test_split_and_merge_are_inverse():
    params = parameters.init(MODEL, 2, 0)
    for trainable in ("all", "head", "top:1"):
        jax.tree.map(
            np.testing.assert_array_equal, parameters.merged(*parameters.split(MODEL, params, trainable)), params
        )


def test_the_released_schedule_starts_at_0_and_falls_linearly():
    """138 updates, a warm-up of 0.276: update 0 has rate 0, update 1 already 137/138 of the full one."""
    rates = learning_rates(run_config(schedule="released", learning_rate=6.25e-5).finetuning, 138)
    assert rates[0] == 0
    np.testing.assert_allclose(rates[[1, 2, 69, 137]], 6.25e-5 * np.array([137, 136, 69, 1]) / 138, rtol=1e-12)
    longer = learning_rates(run_config(schedule="released", learning_rate=1.0, warmup_fraction=0.1).finetuning, 100)
    np.testing.assert_allclose(longer[[0, 5, 10, 50]], [0, 0.5 * 0.95, 0.9, 0.5], rtol=1e-12)


def test_the_linear_schedule_wastes_no_update():
    rates = learning_rates(run_config(learning_rate=6.25e-5).finetuning, 138)
    assert rates[0] == 6.25e-5 and rates[-1] == pytest.approx(6.25e-5 / (138 - 0.276))
    warm = learning_rates(run_config(learning_rate=1.0, warmup_fraction=0.1).finetuning, 100)
    np.testing.assert_allclose(warm[[0, 4, 9, 10, 55, 99]], [0.1, 0.5, 1, 1, 45 / 90, 1 / 90], rtol=1e-12)
    assert (
        learning_rates(run_config(warmup_fraction=0.0, learning_rate=1.0).finetuning, 4) == [1, 0.75, 0.5, 0.25]
    ).all()
