"""Fresh seeds: they alone decide the comparison that asked for them, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from experiments.experiment import Comparison, Scale
from experiments.runs.results import read_results
from experiments.verdicts.judge import judge_all
from experiments.verdicts.report import make_report
from experiments.verdicts.sources import in_folder
from experiments.verdicts.stages import first_stage, plan, plan_lines
from gpt_jax.errors import InputError
from tests.experiments.made_up import made_up, write_run

LOSS = "validation/loss"
AGAIN = Comparison("new", "old", "lower", LOSS, 0.1, name="again", fresh={"cpu": (5, 6, 7)})
OTHER = Comparison("new", "old", "lower", LOSS, 0.1, name="other")


def experiment(*comparisons):
    return made_up(scales={"cpu": Scale({}, seeds=(0, 1, 2))}, comparisons=comparisons)


def write(out, e, differences, start):
    for seed, difference in enumerate(differences, start):
        write_run(out, e, "new", seed, 3.0 + difference, "cpu")
        write_run(out, e, "old", seed, 3.0, "cpu")


OWN, FRESH = (0.5, 0.6, 0.9), (-0.2, -0.3, -0.5)


def judged(out, e):
    return {one.comparison.title: one for one in judge_all(read_results(out / e.name, e), e)}


def test_fresh_seeds_alone_count_for_the_comparison_that_names_them_and_for_no_other(tmp_path):
    e = experiment(AGAIN, OTHER)
    write(tmp_path, e, OWN, 0)
    write(tmp_path, e, FRESH, 5)
    found = judged(tmp_path, e)
    for title, differences, verdict in (("again", FRESH, "reproduced"), ("other", OWN, "contradicted")):
        one = found[title]
        half = stats.t.ppf(0.975, 2) * np.std(differences, ddof=1) / 3**0.5
        assert one.interval is not None and one.n == one.first == 3
        assert (one.interval.estimate, one.interval.high) == pytest.approx(
            (np.mean(differences), np.mean(differences) + half)
        )
        wide = abs(np.mean(differences)) < half
        assert one.verdict == ("not decided" if wide else verdict)


def test_without_fresh_seeds_the_scales_own_are_pilots_and_decide_nothing(tmp_path):
    e = experiment(AGAIN, OTHER)
    write(tmp_path, e, (0.5, 0.51, 0.49), 0)
    found = judged(tmp_path, e)
    assert found["other"].verdict == "contradicted"
    assert found["again"].verdict == "no evidence"
    assert "seeds 5 to 7 count" in found["again"].notes[-1]


def test_the_commands_make_both_and_the_report_misses_what_was_begun(tmp_path):
    e = experiment(AGAIN, OTHER)
    write(tmp_path, e, OWN, 0)
    folder = tmp_path / e.name
    assert in_folder(e, folder).run_options == [()]
    assert make_report(in_folder(e, folder), folder).missing == []
    write(tmp_path, e, FRESH[:2], 5)
    assert in_folder(e, folder).run_options == [(), ("--seeds", "5:8", "--only", "new", "--only", "old")]
    assert make_report(in_folder(e, folder), folder).missing == ["new seed 7", "old seed 7"]


def test_the_plan_of_a_second_stage_leaves_the_comparison_to_its_fresh_seeds(tmp_path):
    lines = plan_lines(experiment(AGAIN), "cpu", tmp_path / "nowhere")
    assert "'again': fresh seeds alone count: --seeds 5:8 --only new --only old makes them" in lines


def test_a_seed_of_the_scale_is_not_fresh():
    with pytest.raises(InputError, match="those of the scale are not allowed"):
        experiment(replace(AGAIN, fresh={"cpu": (2, 3)}))


def test_a_second_stage_takes_no_fresh_seed(tmp_path):
    """sd 0.1 over three pairs, margin 0.1: (4.302653 * 0.1 / 0.1)^2 = 18.5, so 16 more, past seeds 5, 6 and 7."""
    e = experiment(AGAIN, OTHER)
    write(tmp_path, e, (-0.1, -0.2, -0.3), 0)
    (planned,) = plan(e, "cpu", first_stage(e, "cpu", tmp_path / e.name))
    assert planned.title == "other"
    assert planned.seeds == (3, 4, *range(8, 22))
