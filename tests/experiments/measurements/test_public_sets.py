"""Published test sets: the names of their figures, and that a run says before its first step what is missing."""

import math
from types import SimpleNamespace

from experiments.cli import main
from experiments.corpora.catalogue import require_tests
from experiments.experiment import load
from experiments.measurements import public_sets
from gpt_jax.evaluation.metrics import Estimate


def test_a_figure_has_its_set_for_a_name_and_perplexities_are_nats(monkeypatch):
    asked = {}

    def evaluate(model, task, files, options):
        asked[task.name] = options.limit
        values = {"accuracy": 60.0, "Matthews": 7.0, "perplexity": math.exp(3.0)}
        return SimpleNamespace(estimates=[(m, Estimate(values.get(m.name, -1.0), 0, 0, 9)) for m in task.metrics])

    monkeypatch.setattr("gpt_jax.evaluation.evaluator.evaluate", evaluate)
    monkeypatch.setattr("gpt_jax.evaluation.inference.scoring.TextModel.of", lambda *args: None)
    run = SimpleNamespace(config=SimpleNamespace(model=None), corpus=SimpleNamespace(tokenizer=None))
    found = public_sets.scores(run, None)  # type: ignore[arg-type]
    rounded = {name: round(value, 6) for name, value in found.items()}
    assert rounded == {
        "blimp": 60, "lambada": 60, "lambada_nats": 3, "wikitext2_nats": 3, "cola": 7, "sst2": 60, "dprd": 60,
    }  # fmt: skip
    assert asked == public_sets.ITEMS


def test_guessing_is_right_half_of_the_time_between_two_and_never_of_a_word():
    found = {name.removeprefix("chance/"): value for name, value in public_sets.chance().items()}
    assert found == {"blimp": 50, "lambada": 0, "cola": 0, "sst2": 50, "dprd": 50}


def test_a_run_without_its_test_sets_ends_before_its_first_step(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path / "cache"))
    assert main(["run", "zero_shot_sets", "--scale", "cpu", "--out", str(tmp_path / "runs")]) == 2
    error = capsys.readouterr().err
    assert "zero_shot_sets is tested on blimp, lambada" in error and "data get blimp lambada wikitext2" in error
    assert len(error.strip().splitlines()) == 1 and not (tmp_path / "runs").exists()
    require_tests(load("zero_shot_sets"), "smoke")  # needs none of them


def test_every_measure_that_is_stated_is_measured():
    names = {
        f"zero_shot/{name}" for name in ("blimp", "lambada", "lambada_nats", "wikitext2_nats", "cola", "sst2", "dprd")
    }
    for comparison in load("zero_shot_sets").comparisons:
        assert comparison.metric.removesuffix("_rank") in names, comparison.metric
