"""Runs that can show nothing: what has not learned, what a baseline beats, and a difference that no run could see."""

import dataclasses

import pytest

from experiments.experiment import FAILED, Comparison, Scale
from experiments.runs.results import read_results
from experiments.verdicts import report as reports
from experiments.verdicts.judge import judge, judge_all
from experiments.verdicts.sources import in_folder
from tests.experiments.made_up import losses, made_up, write_run


def test_one_pair_is_no_evidence(tmp_path):
    e = made_up()
    judged = judge(losses(tmp_path, e, [2.0], [3.0]), e.comparisons[0])
    assert (judged.verdict, judged.notes) == ("no evidence", ("1 pair: at least 2 are needed",))


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


def test_a_comparison_is_judged_at_the_scales_that_have_its_arms(tmp_path):
    arms = {"new": {"model.norm": "pre"}, "old": {"model.norm": "post"}, "third": {"model.d_model": 16}}
    e = made_up(
        arms=arms,
        scales={"cpu": Scale({}, (0, 1), arms=("new", "old")), "paper": Scale({}, (0, 1))},
        comparisons=(
            Comparison("new", "old", "lower", "validation/loss", 0.01),
            Comparison(("new", "third"), "old", "lower", "validation/loss", 0.01, "best of a sweep"),
            Comparison("third", "old", "lower", "validation/loss", 0.01),
        ),
    )
    titles = lambda out: [j.comparison.title for j in judge_all(read_results(out / e.name, e), e)]  # noqa: E731
    write_run(tmp_path / "a", e, "new", 0, scale="cpu")
    assert titles(tmp_path / "a") == ["new - old", "best of a sweep"]
    write_run(tmp_path / "a", e, "third", 0, scale="cpu")  # chosen by --only
    assert len(titles(tmp_path / "a")) == 3
    write_run(tmp_path / "b", e, "new", 0, scale="paper")
    assert len(titles(tmp_path / "b")) == 3


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
    else:
        assert len(judged.notes) == 1 and "has not learned: its validation/loss is" in judged.notes[0]
        assert judged.notes[0].startswith("old" if answer == "reproduced" else "new")


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
