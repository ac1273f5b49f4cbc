"""Two stages: the plan follows from the first stage's spread alone, and is carried out up to the scale's most seeds."""

import numpy as np
import pytest

from experiments import experiment as experiments
from experiments.cli import main
from experiments.experiment import Comparison, Scale
from experiments.runs.results import read_results
from experiments.verdicts.judge import judge_all
from experiments.verdicts.report import make_report
from experiments.verdicts.sources import in_folder
from experiments.verdicts.stages import first_stage, plan, plan_lines, second_stage
from tests.experiments.made_up import made_up, write_run

SPREAD = (0.1, 0.2, 0.3)  # sd 0.1, t(2) 4.302653


def experiment(margin=0.2, most=20):
    return made_up(
        scales={"smoke": Scale({}), "cpu": Scale({"model.n_layer": 2}, seeds=(0, 1, 2), most_seeds=most)},
        comparisons=(Comparison("new", "old", "lower", "validation/loss", margin),),
    )


def write_pairs(out, e, differences, start=0):
    for seed, difference in enumerate(differences, start):
        write_run(out, e, "new", seed, 3.0 - difference, "cpu")
        write_run(out, e, "old", seed, 3.0, "cpu")


@pytest.mark.parametrize(
    "margin, most, needed, seeds",
    [
        (0.2, 20, 5, (3, 4)),  # (4.302653 * 0.1 / 0.2)^2 = 4.63
        (0.05, 20, 75, tuple(range(3, 20))),
        (0.05, 100, 75, tuple(range(3, 75))),
        (0.5, 20, 3, ()),
    ],
)
def test_the_second_stage_is_what_the_spread_asks_for_up_to_the_most(tmp_path, margin, most, needed, seeds):
    e = experiment(margin, most)
    write_pairs(tmp_path, e, SPREAD)
    (planned,) = plan(e, "cpu", first_stage(e, "cpu", tmp_path / e.name))
    assert (planned.needed, planned.seeds, planned.arms) == (needed, seeds, ("new", "old"))
    assert second_stage(e, "cpu", tmp_path / e.name) == [(arm, seed) for seed in seeds for arm in ("new", "old")]


def test_the_plan_does_not_change_as_the_second_stage_comes_in(tmp_path):
    e = experiment()
    write_pairs(tmp_path, e, SPREAD)
    before = second_stage(e, "cpu", tmp_path / e.name)
    write_pairs(tmp_path, e, (9.0,), start=3)
    assert second_stage(e, "cpu", tmp_path / e.name) == before == [("new", 3), ("old", 3), ("new", 4), ("old", 4)]


def test_the_interval_of_two_stages_is_steins_and_the_report_says_what_could_be_seen(tmp_path):
    e = experiment()
    write_pairs(tmp_path, e, (*SPREAD, 0.25, 0.15))
    (judged,) = judge_all(read_results(tmp_path / e.name, e), e)
    assert (judged.n, judged.first, judged.needed) == (5, 3, 5)
    assert judged.interval is not None
    assert judged.interval.estimate == pytest.approx(-0.2)
    assert judged.could_see == pytest.approx(4.302653 * 0.1 / 5**0.5, rel=1e-5)
    assert judged.could_see < 0.2
    text = make_report(in_folder(e, tmp_path / e.name), tmp_path / e.name).path.read_text(encoding="utf-8")
    assert "| new - old | validation/loss | 0.2 | 0.1 | 5 | 0.1924 | 5 |" in text


def test_seeds_that_spread_wider_than_the_first_stages_are_judged_with_all_as_one(tmp_path):
    """Some runs learn and some do not, and the first stage saw one kind alone: its spread says nothing."""
    e = experiment()
    write_pairs(tmp_path, e, (*SPREAD, 5.0, 0.2))
    (judged,) = judge_all(read_results(tmp_path / e.name, e), e)
    assert judged.interval is not None
    half = 2.776445 * np.std([*SPREAD, 5.0, 0.2], ddof=1) / 5**0.5  # Student's t with 4 degrees of freedom
    assert judged.interval.high - judged.interval.estimate == pytest.approx(half, rel=1e-5)
    assert judged.verdict == "not decided" and "all seeds as one" in " ".join(judged.notes)


def test_the_best_arm_of_a_sweep_is_the_first_stages(tmp_path):
    arms = {"a": {"model.n_layer": 3}, "b": {"model.n_layer": 4}, "old": {}}
    sweep = Comparison(("a", "b"), "old", "lower", "validation/loss", 0.2)
    e = made_up(arms=arms, comparisons=(sweep,), scales={"cpu": Scale({}, seeds=(0, 1))})
    for seed in (0, 1):
        for arm, loss in {"a": 2.0, "b": 2.2, "old": 3.0 + seed}.items():
            write_run(tmp_path, e, arm, seed, loss, "cpu")
    assert {arm for arm, _ in second_stage(e, "cpu", tmp_path / e.name)} == {"a", "old"}
    for arm, loss in {"a": 9.0, "old": 3.0}.items():
        write_run(tmp_path, e, arm, 2, loss, "cpu")
    (judged,) = judge_all(read_results(tmp_path / e.name, e), e)
    assert (judged.treatment, judged.n) == ("a", 3)


def test_before_the_first_stage_the_plan_is_how_it_will_be_made(tmp_path):
    first, then = plan_lines(experiment(), "cpu", tmp_path / "nowhere")
    assert "seeds 0, 1, 2" in first and "20 in all" in first and "spread of the first stage" in then


@pytest.fixture
def made_up_claim(monkeypatch):
    e = experiment()
    monkeypatch.setattr(experiments, "load", lambda name: e)
    return e


def test_run_to_decide_carries_the_plan_out_and_show_prints_it(capsys, tmp_path, fake_runner, made_up_claim):
    write_pairs(tmp_path, made_up_claim, SPREAD)
    assert main(["show", "made_up", "--out", str(tmp_path)]) == 0
    assert "sd 0.1 over 3 pairs, margin 0.2: 5 pairs in all" in capsys.readouterr().out
    assert main(["run", "made_up", "--to-decide", "--out", str(tmp_path)]) == 0
    assert fake_runner.calls == [("new", 3), ("old", 3), ("new", 4), ("old", 4)]
    assert "n = 5" in capsys.readouterr().out
    assert main(["run", "made_up", "--to-decide", "--out", str(tmp_path)]) == 0
    assert len(fake_runner.calls) == 4, "a second call finds everything done"


@pytest.mark.parametrize(
    "arguments, key",
    [(["--seeds", "0:3"], "--seeds"), (["--only", "new"], "--only"), (["--scale", "smoke"], "--scale: smoke")],
)
def test_run_to_decide_refuses_what_makes_two_stages_senseless(capsys, tmp_path, made_up_claim, arguments, key):
    assert main(["run", "made_up", "--to-decide", "--out", str(tmp_path), *arguments]) == 2
    assert key in capsys.readouterr().err


def test_seeds_that_were_fixed_are_shown_and_leave_nothing_to_decide(capsys, tmp_path, monkeypatch):
    e = made_up(scales={"cpu": Scale({}, seeds=(3, 4), fixed=tuple(range(3, 9)))})
    monkeypatch.setattr(experiments, "load", lambda name: e)
    assert main(["show", "made_up", "--out", str(tmp_path)]) == 0
    assert "seeds 3 to 8 count, fixed before any of them was run: --seeds 3:9 makes them" in capsys.readouterr().out
    assert main(["run", "made_up", "--to-decide", "--out", str(tmp_path)]) == 2
    assert "the seeds of made_up are fixed at cpu: --seeds 3:9" in capsys.readouterr().err
