"""Verdicts on hand-made results: the rule is the stated one, and failures are outcomes."""

import dataclasses
import json
import math

import pytest

from experiments.experiment import FAILED, Comparison, Scale
from experiments.runs.results import failure, read_result, read_results
from experiments.verdicts import report as reports
from experiments.verdicts.judge import best_arm, judge, judge_all, verdict
from experiments.verdicts.sources import in_folder
from gpt_jax.errors import InputError
from gpt_jax.intervals import Interval
from tests.experiments.made_up import made_up, write_run


def losses(out, e, new, old):
    for seed, (ours, theirs) in enumerate(zip(new, old, strict=True)):
        write_run(out, e, "new", seed, ours, "cpu")
        write_run(out, e, "old", seed, theirs, "cpu")
    return read_results(out / e.name, e)


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


def test_one_pair_is_no_evidence(tmp_path):
    e = made_up()
    judged = judge(losses(tmp_path, e, [2.0], [3.0]), e.comparisons[0])
    assert (judged.verdict, judged.notes) == ("no evidence", ("1 pairs: at least 2 are needed",))


def test_differences_that_do_not_vary_are_said_to(tmp_path):
    e = made_up()
    judged = judge(losses(tmp_path, e, [2.0, 2.5], [3.0, 3.5]), e.comparisons[0])
    assert judged.verdict == "reproduced" and "the interval has no width" in judged.notes[0]


def test_a_comparison_that_states_no_size_is_never_ruled_out():
    shown = Comparison("a", "b", "lower", primary=False)
    assert verdict(Interval(0.0, -0.001, 0.001), shown) == "not decided"
    assert verdict(Interval(-0.002, -0.003, -0.001), shown) == "reproduced"


def test_a_smoke_scale_gives_no_verdicts(tmp_path):
    e = made_up()
    for scale, answer in (("smoke", "no evidence"), ("cpu", "reproduced")):
        for seed in range(3):
            write_run(tmp_path / scale, e, "new", seed, 2.0 + seed, scale)
            write_run(tmp_path / scale, e, "old", seed, 2.1 + 1.01 * seed, scale)
        made = reports.make_report(in_folder(e, tmp_path / scale / e.name), tmp_path / scale / e.name)
        assert [one.verdict for one in made.judged] == [answer]
        assert made.judged[0].interval is not None
        assert ("gives no verdicts" in made.path.read_text(encoding="utf-8")) == (scale == "smoke")


@pytest.mark.parametrize(
    "new, old, answer",
    [
        (5.89, 5.95, "reproduced"),  # 6 is the unigram entropy: one side has learned
        (5.91, 5.97, "no evidence"),
        (5.97, 5.91, "no evidence"),  # never contradicted
        (5.97, 5.85, "contradicted"),
    ],
)
def test_a_language_model_that_has_not_learned_is_no_evidence(tmp_path, new, old, answer):
    e = made_up()
    results = losses(tmp_path, e, [new, new + 0.001, new - 0.001], [old] * 3)
    judged = judge(results, e.comparisons[0])
    assert judged.verdict == answer
    if answer == "no evidence":
        assert judged.notes[0].startswith("new has not learned: its validation/loss is")
        assert "the unigram entropy less 0.1 is 5.9" in judged.notes[0]


def test_where_nothing_tells_what_chance_is_there_is_no_evidence(tmp_path):
    e = made_up()
    results = [
        dataclasses.replace(r, metrics={"validation/loss": r.metrics["validation/loss"]})
        for r in losses(tmp_path, e, [2.0, 2.1], [3.0, 3.2])
    ]
    judged = judge(results, e.comparisons[0])
    assert judged.verdict == "no evidence" and "unigram_entropy" in judged.notes[0]


def classifiers(out, e, **scores):
    """Runs of both arms at three seeds; `scores` are by metric: (new's, old's)."""
    for seed in range(3):
        for number, arm in enumerate(("new", "old")):
            own = {name.replace("__", "/"): pair[number] + 0.001 * seed * (1 - number) for name, pair in scores.items()}
            write_run(out, e, arm, seed, 1.0, metrics=own)
    return read_results(out / e.name, e)


@pytest.mark.parametrize(
    "new, old, words, answer, why",
    [
        (0.80, 0.70, 0.75, "reproduced", ""),
        (0.60, 0.70, 0.65, "contradicted", ""),
        (0.60, 0.70, 0.75, "no evidence", "bag-of-words is ahead: its test/accuracy is 0.75"),
        (0.515, 0.50, 0.40, "no evidence", "new has not learned: its test/accuracy is 0.516"),
        (0.70, 0.50, 0.40, "reproduced", ""),  # the majority's is 0.5: a side that learned is ahead of one that did not
    ],
)
def test_a_classifier_at_chance_or_behind_a_baseline_is_no_evidence(tmp_path, new, old, words, answer, why):
    e = made_up(comparisons=(Comparison("new", "old", "higher", "test/accuracy", 0.01),))
    scores = {"test__accuracy": (new, old), "bag_of_words__test__accuracy": (words, words)}
    results = classifiers(tmp_path, e, majority__test__accuracy=(0.5, 0.5), **scores)
    judged = judge(results, e.comparisons[0])
    assert judged.verdict == answer
    assert "".join(judged.notes).startswith(why)


def test_a_model_that_has_nothing_has_no_gap_to_lose(tmp_path):
    e = made_up(comparisons=(Comparison("new", "old", "lower", "gap/ood", 0.02),))
    scores = {
        "majority__test__accuracy": (0.5, 0.5),
        "gap__ood": (0.1, 0.0),
        "bag_of_words__test__accuracy": (0.4, 0.4),
    }
    judged = judge(classifiers(tmp_path / "a", e, test__accuracy=(0.8, 0.5), **scores), e.comparisons[0])
    assert judged.verdict == "no evidence" and judged.notes[0].startswith("old has not learned")
    judged = judge(classifiers(tmp_path / "b", e, test__accuracy=(0.8, 0.7), **scores), e.comparisons[0])
    assert judged.verdict == "contradicted"


def test_an_experiment_may_ask_more_of_what_has_learned(tmp_path):
    e = made_up(comparisons=(Comparison("new", (), "higher", "gap/ood", 50),), learned={"test/exact": 50})
    for seed in range(3):
        write_run(tmp_path, e, "new", seed, 1.0, "cpu", {"test/exact": 4.0, "gap/ood": 4.0 + seed})
    (judged,) = judge_all(read_results(tmp_path / e.name, e), e)
    assert judged.verdict == "no evidence" and "test/exact is 4, and the least that counts" in judged.notes[0]


@pytest.mark.parametrize("known, answer", [(-0.3, "reproduced"), (-0.001, "no evidence")])
def test_what_is_equal_needs_a_known_difference_that_is_told_apart(tmp_path, known, answer):
    arms = {"a": {"model.n_layer": 1}, "b": {"model.n_layer": 2}, "less": {"model.n_layer": 3}}
    comparisons = (
        Comparison("a", "b", "equal", "validation/loss", 0.02, "same", sensitivity="known"),
        Comparison("b", "less", "lower", "validation/loss", 0.02, "known"),
        Comparison("a", "b", "equal", "validation/loss", 0.02, "nothing known"),
    )
    e = made_up(arms=arms, comparisons=comparisons)
    for seed in range(3):
        for arm, loss in {"a": 2.0, "b": 2.0 + 0.001 * seed, "less": 2.0 - known}.items():
            write_run(tmp_path, e, arm, seed, loss, "cpu")
    same, _, alone = judge_all(read_results(tmp_path / e.name, e), e)
    assert same.verdict == answer and ("'known' is not told apart" in "".join(same.notes)) == (answer != "reproduced")
    assert alone.verdict == "no evidence" and "no known difference is named" in alone.notes[0]


def test_failure_rates_of_runs_that_all_failed_are_no_evidence(tmp_path):
    e = made_up(comparisons=(Comparison("new", "old", "lower", FAILED, 0.1),))
    for seed in range(40):
        for arm in ("new", "old"):
            write_run(tmp_path, e, arm, seed, metrics={"diverged": 1.0})
    judged = judge(read_results(tmp_path / e.name, e), e.comparisons[0])
    assert (judged.verdict, judged.notes) == ("no evidence", ("every run failed",))


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


def test_the_best_of_a_sweep_fails_least_then_has_the_lowest_loss(tmp_path):
    arms = {"a": {"model.n_layer": 1}, "b": {"model.n_layer": 2}, "c": {"model.n_layer": 3}}
    e = made_up(arms=arms, comparisons=())
    for seed in (0, 1):
        write_run(tmp_path, e, "a", seed, 2.5)
        write_run(tmp_path, e, "b", seed, 2.2)
        write_run(tmp_path, e, "c", seed, 1.0, metrics={"diverged": float(seed)})
    results = read_results(tmp_path / e.name, e)
    assert best_arm(results, ("a", "b", "c"), "validation/loss") == "b"
    assert best_arm(results, ("a", "c"), "validation/loss") == "a"


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


def test_the_report_holds_verdict_interval_failures_compute_and_pictures(tmp_path):
    e = made_up(noise_floor=("old", "new"))
    losses(tmp_path, e, [2.0, 3.0, 4.0], [2.1, 3.11, 4.09])
    made = reports.make_report(in_folder(e, tmp_path / e.name), tmp_path / e.name)
    text = made.path.read_text(encoding="utf-8")
    for part in (
        "**reproduced**",
        "lower, by at least 0.01",
        "-0.1 ",
        "[-0.1248, -0.07516]",
        "New is better than old.",
    ):
        assert part in text
    assert "1,920 tokens" in text  # 6 runs of 320
    assert "Partial" not in text
    assert "Noise floor" in text
    for picture in made.pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert f"({picture.name})" in text


def test_a_partial_sweep_is_reported_as_partial(tmp_path):
    e = made_up()
    losses(tmp_path, e, [2.0, 3.0], [2.1, 3.11])
    (tmp_path / e.name / "new" / "seed-2").mkdir()
    (tmp_path / e.name / "new" / "seed-2" / "config.json").write_text("{}", encoding="utf-8")
    text = reports.make_report(in_folder(e, tmp_path / e.name), tmp_path / e.name).path.read_text(encoding="utf-8")
    assert "**Partial**: 2 not finished: new seed 2 (begun), old seed 2" in text


def test_a_profile_is_drawn_for_runs_that_have_it(tmp_path):
    e = dataclasses.replace(made_up(), profiles={"loss/by_position": "position"})
    for arm, values in (("new", [3.0, 2.0]), ("old", [3.0, 2.5])):
        write_run(tmp_path, e, arm, 0, metrics={"loss/by_position": values})
    made = reports.make_report(in_folder(e, tmp_path / e.name), tmp_path / e.name)
    assert (tmp_path / e.name / "loss_by_position.png") in made.pictures


def test_seeds_beyond_the_scales_own_are_reported_too(tmp_path):
    e = made_up(scales={"cpu": Scale({}, seeds=(0,))})
    losses(tmp_path, e, [2.0, 3.0], [2.1, 3.11])
    assert reports.make_report(in_folder(e, tmp_path / e.name), tmp_path / e.name).missing == []
