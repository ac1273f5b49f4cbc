"""Runs whose weights are bfloat16: stopped and resumed, loaded, sampled and fine-tuned as float32's are."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from experiments.cli import main
from experiments.runs import runner
from experiments.runs.finetuning import saved
from experiments.runs.weights import load_model, restore, write_text
from gpt_jax.config import override
from gpt_jax.errors import InputError
from gpt_jax.training.checkpoint import Checkpoints
from tests.experiments.runs.real import lines_without_clocks, run, stop_at
from tests.training.tiny import TINY

LOW = override(
    TINY,
    {
        "model.param_dtype": "bfloat16",
        "model.context_length": 64,
        "training.train_tokens": 64 * 6,
        "training.evaluation_tokens": 64,
    },
)
SMALL = ["finetuning.examples=32", "finetuning.batch_size=8", "finetuning.epochs=1", "finetuning.max_length=64"]


@pytest.fixture(scope="module")
def whole(text, tmp_path_factory):
    """A run of 6 steps, with checkpoints of steps 4 and 6."""
    folder = tmp_path_factory.mktemp("low") / "seed-0"
    run(folder, text, LOW)
    return folder


def dtypes(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree)}


def test_a_run_in_bfloat16_keeps_a_float32_master_that_its_weights_are_rounded_from(whole):
    state = restore(LOW, whole, pytest.fail)
    assert dtypes(state.params) == {jnp.dtype("bfloat16")}
    assert dtypes((state.opt_state.weights, state.opt_state.adam)) <= {jnp.dtype("float32"), jnp.dtype("int32")}
    for low, master in zip(jax.tree.leaves(state.params), jax.tree.leaves(state.opt_state.weights), strict=True):
        master = np.asarray(master)
        np.testing.assert_array_equal(np.asarray(low), master.astype(ml_dtypes.bfloat16))
    finer = [np.any(np.asarray(w).view(np.uint32) & 0xFFFF) for w in jax.tree.leaves(state.opt_state.weights)]
    assert all(finer), "a master copy that holds nothing more than the weights"


@pytest.mark.slow
def test_a_run_in_bfloat16_that_was_stopped_equals_one_that_was_not(whole, text, tmp_path):
    with pytest.raises(runner.Interrupted):
        run(tmp_path, text, LOW, should_stop=stop_at(tmp_path, 3))
    assert int(restore(LOW, tmp_path, pytest.fail).step) == 3
    run(tmp_path, text, LOW)
    states = [restore(LOW, folder, pytest.fail) for folder in (tmp_path, whole)]
    jax.tree.map(np.testing.assert_array_equal, *states)
    assert lines_without_clocks(tmp_path) == lines_without_clocks(whole)
    assert (tmp_path / "samples.txt").read_bytes() == (whole / "samples.txt").read_bytes()


def test_a_run_in_bfloat16_is_loaded_and_sampled_in_bfloat16(whole):
    loaded = load_model(whole)
    assert loaded.config.param_dtype == "bfloat16" and dtypes(loaded.params) == {jnp.dtype("bfloat16")}
    (written,) = write_text(whole, "to be", tokens=4, temperature=0)
    assert written.startswith("to be") and len(written) > len("to be")


def test_a_checkpoint_without_a_master_copy_is_refused_in_one_line(whole, tmp_path):
    """As an older version wrote it: the moments of the bfloat16 weights, and nothing in float32 beside them."""
    state = restore(LOW, whole, pytest.fail)
    meta = {"config": None}
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(6, dataclasses.replace(state, opt_state=state.opt_state.adam), meta, None)
    checkpoints.close()
    with pytest.raises(InputError, match=r"holds another model's arrays: opt_state/\S+ is ") as refused:
        restore(LOW, tmp_path, pytest.fail)
    assert "\n" not in str(refused.value) and "and" in str(refused.value)
    assert (tmp_path / "checkpoints" / "6").is_dir()


@pytest.mark.slow
def test_a_run_in_bfloat16_is_finetuned_in_bfloat16(whole, tmp_path, capsys):
    argv = ["finetune", whole, "--task", "grammar", "--out", tmp_path, *SMALL]
    assert main([str(word) for word in argv]) == 0, capsys.readouterr().err
    folder = tmp_path / "finetune" / "grammar" / "seed-0"
    metrics = json.loads((folder / "result.json").read_text(encoding="utf-8"))["metrics"]
    assert np.isfinite(metrics["validation/loss"]) and 0 <= metrics["test/accuracy"] <= 1
    classifier = saved.restore(folder)
    assert jnp.dtype("bfloat16") in dtypes(classifier.trained)
