"""Runs for real, a dozen steps long: their folder, and that stopping, killing and resuming leave no trace."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments import runner
from experiments.experiment import FinishedRun
from experiments.weights import restore, write_text
from gpt_jax.config import digest, override, to_dict
from gpt_jax.errors import InputError, TrainingDiverged
from tests.training.tiny import TINY

IDENTITY = runner.RunIdentity("quickstart", "gpt", 0, "smoke")
FILES = {
    "config.json", "environment.json", "metrics.jsonl", "checkpoints", "samples.txt", "loss.png", "result.json",
    "tokenizer",
}  # fmt: skip

SCRIPT = """
import json, sys
from pathlib import Path
from experiments import runner
from gpt_jax.config import from_dict
identity = runner.RunIdentity("quickstart", "gpt", 0, "smoke")
runner.run(from_dict(json.loads(sys.argv[1])), Path(sys.argv[2]), identity, data_dir=Path(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Text to learn from, and a cache of its own."""
    folder = tmp_path_factory.mktemp("data")
    words = random.Random(0).choices(["to ", "be ", "or ", "not ", "that ", "is\n"], k=1500)
    (folder / "text.txt").write_text("".join(words))
    os.environ["GPT_JAX_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield folder
    del os.environ["GPT_JAX_CACHE"]


def run(folder, text, config=TINY, **options):
    return runner.run(config, folder, IDENTITY, data_dir=text, **options)


@pytest.fixture(scope="module")
def finished(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "seed-0"
    return folder, run(folder, text)


def lines_without_clocks(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]


def assert_same_run(folder, other):
    """Bitwise: parameters, moments, metrics but the clocks, samples, result."""
    a, b = (restore(TINY, f, pytest.fail) for f in (folder, other))
    jax.tree.map(np.testing.assert_array_equal, a, b)
    ours, theirs = lines_without_clocks(folder), lines_without_clocks(other)
    for mine, its in zip(ours, theirs, strict=True):
        assert mine == its, f"the runs part at step {mine['step']}"
    assert (folder / "samples.txt").read_text() == (other / "samples.txt").read_text()
    results = [json.loads((f / "result.json").read_text()) for f in (folder, other)]
    for result in results:
        result["metrics"] = {k: v for k, v in result["metrics"].items() if not k.startswith("time/")}
    assert results[0] == results[1]


def test_a_finished_run_has_every_file_and_learned(finished):
    folder, result = finished
    assert {path.name for path in folder.iterdir()} == FILES
    assert json.loads((folder / "result.json").read_text()) == result
    assert result["config_digest"] == digest(TINY) == json.loads((folder / "config.json").read_text())["digest"]
    lines = lines_without_clocks(folder)
    assert [line["step"] for line in lines if "train/loss" in line] == list(range(1, 13))
    assert [line["step"] for line in lines if "validation/loss" in line] == [4, 8, 12]
    assert all(line["tokens"] == 64 * line["step"] for line in lines)
    assert result["metrics"]["validation/loss"] < lines[0]["train/loss"] - 1
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["12", "8"]
    assert (folder / "samples.txt").read_text().count("=== step") == 3


def test_bits_per_byte_are_nats_per_byte_over_ln_2(finished):
    """A byte is a token here, and `<|endoftext|>` the one token that stands for none."""
    metrics = finished[1]["metrics"]
    ratio = metrics["validation/bits_per_byte"] / (metrics["validation/loss"] / np.log(2))
    assert ratio == pytest.approx(1, abs=0.01)


def test_a_finished_run_is_skipped(finished, text):
    folder, result = finished
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    assert run(folder, text) == result
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_another_config_is_refused_with_the_difference(finished, text):
    other = override(TINY, {"optimizer.learning_rate": 0.5})
    with pytest.raises(InputError, match=r"optimizer\.learning_rate is 0\.01, not 0\.5"):
        run(finished[0], text, other)


@pytest.mark.parametrize("stop_after", [3, 4, 9])
def test_resumed_run_equals_uninterrupted_run_bitwise(finished, text, tmp_path, stop_after):
    asked = []
    with pytest.raises(runner.Interrupted, match=f"step {stop_after}"):
        run(tmp_path, text, should_stop=lambda: len(asked.append(0) or asked) == stop_after)
    assert not (tmp_path / "result.json").exists()
    run(tmp_path, text)
    assert_same_run(tmp_path, finished[0])


@pytest.mark.slow
def test_a_run_killed_at_random_moments_equals_one_that_was_not(finished, text, tmp_path):
    """kill -9, ten times, then to the end."""
    command = [sys.executable, "-c", SCRIPT, json.dumps(to_dict(TINY)), str(tmp_path), str(text)]
    rng = random.Random(1)
    for _ in range(10):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=rng.uniform(3, 14))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    run(tmp_path, text)
    assert_same_run(tmp_path, finished[0])


def test_other_data_is_refused_on_resume(text, tmp_path):
    asked = []
    with pytest.raises(runner.Interrupted):
        run(tmp_path / "run", text, should_stop=lambda: len(asked.append(0) or asked) == 1)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "other.txt").write_text("something else entirely. " * 200)
    with pytest.raises(InputError, match="trained on data of digest"):
        run(tmp_path / "run", tmp_path / "data")


def test_divergence_stops_with_a_hint_and_keeps_the_last_good_checkpoint(text, tmp_path):
    hot = override(
        TINY, {"optimizer.learning_rate": 1e30, "optimizer.clip_norm": None, "optimizer.warmup_tokens": 64 * 5}
    )
    hot = dataclasses.replace(hot, training=dataclasses.replace(hot.training, checkpoint_every_tokens=64))
    with pytest.raises(TrainingDiverged, match=r"last good one.*optimizer\.learning_rate") as stopped:
        run(tmp_path, text, hot)
    steps = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir())
    assert steps and steps[-1] < stopped.value.step
    assert not (tmp_path / "result.json").exists()


def test_divergence_can_be_an_outcome(text, tmp_path):
    hot = override(TINY, {"optimizer.learning_rate": 1e30, "optimizer.clip_norm": None})
    metrics = run(tmp_path, text, hot, divergence_is_outcome=True)["metrics"]
    assert metrics["diverged"] == 1.0 and metrics["tokens"] == 64 * metrics["diverged_at_step"]
    assert (tmp_path / "result.json").exists()


def test_an_experiments_own_measurement_joins_the_metrics(text, tmp_path):
    def evaluate(done: FinishedRun):
        return {"measured": float(done.params["wpe"].shape[0]), "windows": [float(done.corpus.train_windows)]}

    metrics = run(tmp_path, text, override(TINY, {"training.train_tokens": 64}), evaluate=evaluate)["metrics"]
    assert metrics["measured"] == 16 and len(metrics["windows"]) == 1


def test_a_sample_continues_the_prompt_and_repeats_by_seed(finished):
    folder = finished[0]
    first = write_text(folder, "to be", tokens=8, seed=1, samples=2)
    assert first == write_text(folder, "to be", tokens=8, seed=1, samples=2)
    assert all(text.startswith("to be") for text in first) and first[0] != first[1]


def test_a_tokenizer_larger_than_the_model_is_refused_before_the_folder_is_claimed(text, tmp_path):
    with pytest.raises(InputError, match="vocab_size"):
        run(tmp_path / "run", text, override(TINY, {"model.vocab_size": 100}))
    assert not (tmp_path / "run").exists()


def test_a_partial_metrics_file_from_a_crash_is_mended(finished, text, tmp_path):
    asked = []
    with pytest.raises(runner.Interrupted):
        run(tmp_path, text, should_stop=lambda: len(asked.append(0) or asked) == 5)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "tokens": 384, "train/loss": 1.0}\n{"step": 7, "tok')
    run(tmp_path, text)
    assert_same_run(tmp_path, finished[0])
