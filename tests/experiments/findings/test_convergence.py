"""The difference of two arms' curves, at each evaluation that all pairs have."""

import pytest

from experiments.findings.convergence import by_evaluation, line
from experiments.runs.results import Curve, Result
from gpt_jax.errors import InputError

METRIC = "validation/accuracy"


def run(arm, seed, *values, steps=(10, 20)):
    curve = Curve(steps, tuple(100 * step for step in steps), values)
    return Result("", "aux_loss", arm, seed, "cpu", {}, "", curves={METRIC: curve})


def test_a_difference_is_paired_by_seed_at_each_evaluation():
    """With two pairs, the half-width is t(0.975, 1) = 12.706 times sd / sqrt(2), which is |a - b| / 2."""
    results = [run("a", 0, 0.5, 0.9), run("b", 0, 0.4, 0.9), run("b", 1, 0.1, 0.5), run("a", 1, 0.4, 0.7)]
    (step, mean, low, high), (last, *_) = by_evaluation(results, "a", "b", METRIC)
    assert (step, last) == (10, 20) and mean == pytest.approx(0.2)
    assert (mean - low, high - mean) == (pytest.approx(12.7062 * 0.1, rel=1e-4),) * 2


def test_only_evaluations_of_all_runs_are_compared():
    results = [
        run("a", 0, 0.5, 0.9),
        run("b", 0, 0.4, 0.9),
        run("a", 1, 0.4, 0.7, steps=(20, 30)),
        run("b", 1, 0.1, 0.5),
    ]
    assert [step for step, *_ in by_evaluation(results, "a", "b", METRIC)] == [20]
    said = line(results, "a", "b", METRIC)
    assert said.startswith("a - b, validation/accuracy: -0.050 [") and said.endswith("] at step 20")


def test_one_pair_has_no_interval():
    with pytest.raises(InputError, match="a - b: 1 pairs"):
        by_evaluation([run("a", 0, 0.5, 0.9), run("b", 0, 0.4, 0.9), run("a", 1, 0.4, 0.7)], "a", "b", METRIC)
