"""Verdicts on hand-made results: the rule is the stated one, and failures are outcomes."""

import json
import math

import pytest

from experiments.experiment import FAILED, Comparison
from experiments.runs.results import failure, read_result, read_results
from experiments.verdicts.judge import judge, verdict
from gpt_jax.errors import InputError
from gpt_jax.intervals import Interval
from tests.experiments.made_up import losses, made_up, write_run


@pytest.mark.parametrize(
    "expected, interval, answer",
    [
        ("lower", (-0.2, -0.3, -0.1), "reproduced"),
        ("lower", (0.2, 0.1, 0.3), "contradicted"),
        ("lower", (-0.2, -0.5, 0.1), "not decided"),
        ("lower", (-0.04, -0.07, -0.01), "not decided"),  # certain of its sign, not of its size
        ("lower", (-0.02, -0.03, -0.01), "ruled out"),  # an effect, but of less than the margin of 0.05
        ("lower", (0.02, 0.01, 0.03), "ruled out"),
        ("lower", (0.0, -0.049, 0.049), "ruled out"),
        ("lower", (0.0, -0.05, 0.049), "not decided"),  # the interval holds an effect of the stated size
        ("higher", (0.02, -0.01, 0.049), "ruled out"),
        ("higher", (0.03, -0.01, 0.07), "not decided"),
        ("higher", (-0.05, -0.09, -0.01), "contradicted"),
        ("higher", (0.05, 0.01, 0.09), "reproduced"),
        ("higher", (0.2, 0.1, 0.3), "reproduced"),
        ("higher", (-0.2, -0.3, -0.1), "contradicted"),
        ("equal", (0.01, -0.02, 0.04), "reproduced"),
        ("equal", (0.01, -0.02, 0.06), "not decided"),
        ("equal", (0.2, 0.1, 0.3), "contradicted"),
        ("equal", (0.06, 0.04, 0.08), "not decided"),
        ("higher", (math.nan, math.nan, math.nan), "no evidence"),
    ],
)
def test_the_verdict_follows_the_interval_and_the_margin(expected, interval, answer):
    assert verdict(Interval(*interval), Comparison("a", "b", expected, margin=0.05)) == answer


def test_differences_are_paired_by_seed(tmp_path):
    e = made_up()
    # The seeds differ far more than the arms: only pairs can see it.
    judged = judge(losses(tmp_path, e, [2.0, 3.0, 4.0], [2.1, 3.11, 4.09]), e.comparisons[0])
    assert list(judged.differences.values()) == pytest.approx([-0.1, -0.11, -0.09])
    assert judged.interval is not None
    assert judged.interval.high == pytest.approx(-0.1 + 4.302653 * 0.01 / 3**0.5, rel=1e-4)
    assert judged.verdict == "reproduced"


def test_a_baseline_that_the_same_runs_measure_is_compared_by_its_own_metric(tmp_path):
    e = made_up()
    for seed, (ours, baseline) in enumerate([(0.1, 0.4), (0.2, 0.6), (0.3, 0.65)]):
        write_run(tmp_path, e, "new", seed, metrics={"validation/loss": 1.0, "gap": ours, "words/gap": baseline})
    judged = judge(read_results(tmp_path / e.name, e), Comparison("new", "new", "lower", "gap", against="words/gap"))
    assert list(judged.differences.values()) == pytest.approx([-0.3, -0.4, -0.35])


def test_without_a_control_a_metric_is_compared_with_0(tmp_path):
    e = made_up(comparisons=(Comparison("new", (), "higher", "gap", 50),))
    for seed, gap in enumerate((60.0, 70.0, 80.0)):
        write_run(tmp_path, e, "new", seed, metrics={"gap": gap})
    (judged,) = (judge(read_results(tmp_path / e.name, e), c) for c in e.comparisons)
    assert (judged.differences, judged.comparison.title) == ({0: 60.0, 1: 70.0, 2: 80.0}, "new")
    assert judged.interval is not None
    assert judged.interval.low == pytest.approx(70 - 4.302653 * 10 / 3**0.5, rel=1e-4)
    assert judged.verdict == "reproduced"
    with pytest.raises(InputError, match="control of 'new'"):
        made_up(comparisons=(Comparison("new", (), "lower", FAILED, 0.1),))


def test_differences_that_do_not_vary_are_said_to(tmp_path):
    e = made_up()
    judged = judge(losses(tmp_path, e, [2.0, 2.5], [3.0, 3.5]), e.comparisons[0])
    assert judged.verdict == "reproduced" and "the interval has no width" in judged.notes[0]


def test_a_comparison_that_states_no_size_is_never_ruled_out():
    shown = Comparison("a", "b", "lower", primary=False)
    assert verdict(Interval(0.0, -0.001, 0.001), shown) == "not decided"
    assert verdict(Interval(-0.002, -0.003, -0.001), shown) == "reproduced"


def test_failed_runs_are_named_and_left_out_of_means(tmp_path):
    e = made_up()
    results = losses(tmp_path, e, [2.0, 2.0, 2.0], [2.5, 2.4, 2.6])
    write_run(tmp_path, e, "old", 1, scale="cpu", metrics={"diverged": 1.0, "diverged_at_step": 7})
    judged = judge(read_results(tmp_path / e.name, e), e.comparisons[0])
    assert set(judged.differences) == {0, 2}
    assert judged.notes == ("seed 1 is left out: old (diverged at step 7)",)
    assert len(results) == 6


@pytest.mark.parametrize(
    "loss, plateau, why",
    [(4.0, 0.02, ""), (4.985, 0.02, "plateau"), (5.5, 0.02, "plateau"), (4.985, None, ""), (None, 0.02, "not finite")],
)
def test_parking_at_the_unigram_entropy_is_a_failure(tmp_path, loss, plateau, why):
    folder = write_run(tmp_path, made_up(), "new", 0, 1.0)
    values = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    values["metrics"] |= {"validation/loss": loss, "validation/unigram_entropy": 5.0}
    (folder / "result.json").write_text(json.dumps(values), encoding="utf-8")
    assert why in failure(read_result(folder / "result.json"), plateau)
    assert bool(why) == bool(failure(read_result(folder / "result.json"), plateau))


def test_failure_rates_are_compared_over_all_runs_of_a_sweep(tmp_path):
    e = made_up(comparisons=(Comparison("new", "old", "lower", FAILED, 0.1),))
    for seed in range(12):
        write_run(tmp_path, e, "new", seed, 2.0)
        write_run(tmp_path, e, "old", seed, metrics={"diverged": float(seed < 10)})
    judged = judge(read_results(tmp_path / e.name, e), e.comparisons[0])
    assert judged.interval is not None
    assert judged.interval.estimate == pytest.approx(-10 / 12)
    assert judged.verdict == "reproduced"


def test_two_scales_in_one_folder_are_refused_with_their_names(tmp_path):
    e = made_up()
    write_run(tmp_path, e, "new", 0)
    write_run(tmp_path, e, "old", 0, scale="cpu")
    with pytest.raises(InputError, match=r"model.n_layer is 1 in .*new/seed-0 and 2 in .*old/seed-0:"):
        read_results(tmp_path / e.name, e)


def test_two_configs_of_one_arm_are_refused(tmp_path):
    e = made_up()
    write_run(tmp_path, e, "new", 0)
    other = made_up(arms={"new": {"model.norm": "post"}, "old": {}})
    write_run(tmp_path, other, "new", 1)
    with pytest.raises(InputError, match=r"model.norm is 'pre' in .*new/seed-0 and 'post' in .*new/seed-1:"):
        read_results(tmp_path / e.name, e)
