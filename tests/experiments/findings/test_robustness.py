"""Effective robustness: points on one line have none, and a model that was lifted has what it was lifted by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.cli import main
from experiments.findings import robustness
from experiments.runs.results import Result
from gpt_jax.errors import InputError


def runs(lift: float, slope: float, start: float, seeds=(8, 9)) -> list[Result]:
    line = lambda iid: (start + slope * iid) / 100  # noqa: E731
    made = []
    for seed in seeds:
        for arm, iid in (("a", 50 + seed), ("b", 61.0), ("c", 70.5), ("d", 66.0)):
            metrics = {"test/accuracy": iid / 100, "ood/accuracy": line(iid) + (lift / 100 if arm == "d" else 0)}
            words = {"bag_of_words/test/accuracy": 0.73, "bag_of_words/ood/accuracy": line(73)}
            made.append(Result("", "ood", arm, seed, "cpu", {**metrics, **words}, ""))
    return made


@given(lift=st.floats(-9, 9), slope=st.floats(-1, 1), start=st.floats(0, 50))
def test_a_model_lies_above_the_line_of_the_others_by_what_it_was_lifted(lift, slope, start):
    seeds = robustness.points(runs(lift, slope, start))
    assert set(seeds) == {8, 9} and set(seeds[8]) == {"a", "b", "c", "d", "bag-of-words"}
    for at in seeds.values():
        assert robustness.above_the_others(at, "d") == pytest.approx(lift, abs=1e-6)


def test_every_model_and_the_slope_are_told_with_intervals_over_seeds():
    said = robustness.findings(runs(0, 0.5, 20))
    assert "worth +0.50 [+0.50, +0.50] points" in said[0] and "5 models, in each of 2 seeds" in said[0]
    assert "bag-of-words: 73.0 % and 56.5 %: " in said[-4] + said[-3] + said[-2] + said[-1] + said[1] + said[2]
    assert len(said) == 6


def test_report_prints_what_is_fitted(capsys):
    assert main(["report", "scaling", "--from", "published"]) == 0
    assert "loss ~ tokens^-alpha: alpha 0." in capsys.readouterr().out


def test_a_seed_that_lacks_a_model_is_left_out_and_too_few_models_are_refused():
    some = runs(3, 0.5, 20)
    assert set(robustness.points(some[:-1])) == {8}
    with pytest.raises(InputError, match="robustness: 3 models: at least 4 are needed"):
        robustness.points([run for run in some if run.arm in ("a", "b")])
