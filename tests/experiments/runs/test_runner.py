"""Runs for real, a dozen steps long: their folder, and that stopping, killing and resuming leave no trace."""

import dataclasses
import json
import shlex
import shutil

import numpy as np
import pytest

from experiments.cli import main
from experiments.experiment import FinishedRun
from experiments.runs import runner
from experiments.runs.kinds import Run
from experiments.runs.pretraining.kind import KIND, suggested_prompt
from experiments.runs.screen import Screen
from experiments.runs.weights import load_model, write_text
from gpt_jax.config import digest, override
from gpt_jax.data.pipeline import validation_batches
from gpt_jax.data.prepare import prepare
from gpt_jax.errors import InputError, TrainingDiverged
from gpt_jax.evaluation.perplexity import mean_loss
from tests.experiments.runs.real import IDENTITY, assert_same_run, lines_without_clocks, run, stop_at
from tests.training.tiny import TINY

FILES = {
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "checkpoints",
    "samples.txt",
    "loss.png",
    "result.json",
    "tokenizer",
}


def test_a_finished_run_has_every_file_and_learned(finished):
    folder, result = finished
    assert {path.name for path in folder.iterdir()} == FILES
    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result
    assert (
        result["config_digest"]
        == digest(TINY)
        == json.loads((folder / "config.json").read_text(encoding="utf-8"))["digest"]
    )
    lines = lines_without_clocks(folder)
    assert [line["step"] for line in lines if "train/loss" in line] == list(range(1, 13))
    assert [line["step"] for line in lines if "validation/loss" in line] == [4, 8, 12]
    assert all(line["tokens"] == 64 * line["step"] for line in lines)
    assert result["metrics"]["validation/loss"] < lines[0]["train/loss"] - 1
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["12", "8"]
    assert (folder / "samples.txt").read_text(encoding="utf-8").count("=== step") == 3


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


@pytest.mark.parametrize("stop_after", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_resumed_run_equals_uninterrupted_run_bitwise(finished, text, tmp_path, stop_after):
    """Stopped before a checkpoint was due, and where one is."""
    with pytest.raises(runner.Interrupted, match=f"step {stop_after}"):
        run(tmp_path, text, should_stop=stop_at(tmp_path, stop_after))
    assert not (tmp_path / "result.json").exists()
    run(tmp_path, text)
    assert_same_run(tmp_path, finished[0])


def test_a_run_stopped_after_its_second_checkpoint_equals_an_uninterrupted_one_bitwise(half, finished, text, tmp_path):
    shutil.copytree(half, tmp_path / "run")
    assert not (half / "result.json").exists()
    run(tmp_path / "run", text)
    assert_same_run(tmp_path / "run", finished[0])


def test_other_data_is_refused_on_resume(half, tmp_path):
    shutil.copytree(half, tmp_path / "run")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "other.txt").write_text("something else entirely. " * 200, encoding="utf-8")
    with pytest.raises(InputError, match="trained on data of digest"):
        run(tmp_path / "run", tmp_path / "data")


def test_a_run_asked_to_stop_before_its_first_step_says_that_there_is_no_checkpoint(text, tmp_path):
    with pytest.raises(runner.Interrupted, match="before the first step: no checkpoint is written yet"):
        run(tmp_path, text, should_stop=lambda: True)
    assert not (tmp_path / "metrics.jsonl").exists() or not (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")


def test_a_run_asked_to_stop_while_its_data_is_prepared_stops_there(text, tmp_path, monkeypatch):
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path / "cache"))
    with pytest.raises(runner.Interrupted, match="no checkpoint"):
        run(tmp_path / "run", text, should_stop=lambda: True)
    assert not (tmp_path / "run").exists()  # nothing was begun


@pytest.mark.slow
@pytest.mark.parametrize("cached", [True, False])
def test_a_run_stopped_before_it_trained_equals_an_uninterrupted_one(finished, text, tmp_path, monkeypatch, cached):
    if not cached:
        monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path / "cache"))
    with pytest.raises(runner.Interrupted):
        run(tmp_path / "run", text, should_stop=lambda: True)
    run(tmp_path / "run", text)
    assert_same_run(tmp_path / "run", finished[0])


def test_checkpoints_of_another_architecture_are_refused_with_the_keys(finished, text, tmp_path):
    wider = override(TINY, {"model.d_model": 32, "optimizer.b1": 0.8})
    with pytest.raises(runner.Interrupted):
        run(tmp_path, text, wider, should_stop=stop_at(tmp_path, 2))
    shutil.rmtree(tmp_path / "checkpoints")
    shutil.copytree(finished[0] / "checkpoints", tmp_path / "checkpoints")
    with pytest.raises(
        InputError, match=r"another config: model\.d_model is 16, not 32, optimizer\.b1 is 0\.9, not 0\.8"
    ):
        run(tmp_path, text, wider)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["12", "8"]


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


def test_a_partial_metrics_file_from_a_crash_is_mended(half, finished, text, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(half, folder)
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 10, "tokens": 640, "train/loss": 1.0}\n{"step": 11, "tok')
    run(folder, text)
    assert_same_run(folder, finished[0])


def test_the_sources_of_a_mixture_are_validated_one_by_one_at_the_end(text, tmp_path):
    """As each is alone: bytes need no training, so that a source's windows are the same in a mixture and by itself."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "words.txt").write_text((text / "text.txt").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "digits.txt").write_text("0123456789" * 500, encoding="utf-8")
    names = "local:words.txt", "local:digits.txt"
    config = override(TINY, {"data.source": ", ".join(f"1*{name}" for name in names)})
    run(tmp_path / "run", folder, config)
    lines = lines_without_clocks(tmp_path / "run")
    evaluated = [line for line in lines if "validation/loss" in line]
    assert not any(key.startswith("validation/local:") for line in evaluated[:-1] for key in line)
    params = load_model(tmp_path / "run").params
    for name in names:
        alone = override(config, {"data.source": name}).data
        corpus = prepare(alone, vocab_size=257, context_length=config.model.context_length, data_dir=folder)
        loss, _ = mean_loss(config.model, params, validation_batches(corpus, batch_size=4))
        assert evaluated[-1][f"validation/{name}/loss"] == pytest.approx(loss, rel=1e-5)
        bits = evaluated[-1][f"validation/{name}/bits_per_byte"]
        assert bits == pytest.approx(loss / np.log(2) * corpus.validation_tokens / corpus.validation_bytes, rel=1e-5)


def test_what_is_suggested_at_the_end_is_from_the_validation_text_and_runs(finished, text, capsys):
    folder, result = finished
    corpus = KIND.gather(Run(TINY, folder, IDENTITY, text, Screen(None), False, None, "", lambda: False))
    prompt = suggested_prompt(TINY, corpus)
    assert len(prompt.split()) == 3 and set(prompt.split()) <= {"to", "be", "or", "not", "that", "is"}
    asked = override(TINY, {"training.sample_prompt": "it's so\n"})
    assert suggested_prompt(asked, corpus) == "it's so"
    wanted = Run(asked, folder, IDENTITY, text, Screen(None), False, None, "", lambda: False)
    more, export = (KIND.summary(wanted, corpus, result["metrics"])[key] for key in ("more text", "export"))
    assert shlex.split(more)[-2:] == ["--prompt", "it's so"]
    assert main([*shlex.split(more)[3:], "--tokens", "4"]) == 0
    assert capsys.readouterr().out.startswith("it's so")
    assert shlex.split(export)[3:5] == ["export", str(folder)]
