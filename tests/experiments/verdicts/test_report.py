"""What a report holds: the verdict, the interval, failures, compute and pictures, and what is not finished."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from experiments.experiment import Scale
from experiments.verdicts import report as reports
from experiments.verdicts.sources import found, if_any, in_folder
from gpt_jax.errors import InputError
from tests.experiments.made_up import losses, made_up, write_run


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


def test_seeds_before_the_scales_own_are_pilots_and_do_not_count(tmp_path):
    e = made_up(scales={"cpu": Scale({}, seeds=(2, 3, 4))})
    losses(tmp_path, e, [9.0, 9.0, 2.0, 3.0, 4.0], [1.0, 1.0, 2.1, 3.11, 4.09])
    made = reports.make_report(in_folder(e, tmp_path / e.name), tmp_path / e.name)
    text = made.path.read_text(encoding="utf-8")
    assert "4 runs of seeds 0, 1 were pilots" in text and "6 finished runs" in text
    (judged,) = made.judged
    assert sorted(judged.differences) == [2, 3, 4] and judged.verdict == "reproduced"


def test_pilots_alone_are_refused(tmp_path):
    e = made_up(scales={"cpu": Scale({}, seeds=(2, 3))})
    losses(tmp_path, e, [2.0, 3.0], [2.1, 3.11])
    with pytest.raises(InputError, match=r"seeds 0, 1 are pilots of .*: no run counts"):
        in_folder(e, tmp_path / e.name)
    with pytest.raises(InputError, match=r"seeds 0, 1 are pilots of .*: no run counts"):
        found(e, tmp_path)


def test_a_claim_of_pilots_alone_does_not_stop_a_report_on_all(tmp_path):
    e = made_up(scales={"cpu": Scale({}, seeds=(2, 3))})
    losses(tmp_path, e, [2.0, 3.0], [2.1, 3.11])
    assert if_any(e, tmp_path) == []


def test_seeds_that_were_fixed_are_one_stage_and_those_of_them_that_lack_are_named(tmp_path):
    """`run` makes two of four by itself. With the other two, the interval is Student's over all, as of one stage."""
    e = made_up(scales={"cpu": Scale({}, seeds=(0, 1), fixed=(0, 1, 2, 3))})
    new, old = [2.0, 3.0, 4.0, 5.0], [2.1, 3.11, 4.09, 5.3]
    losses(tmp_path, e, new[:2], old[:2])
    assert reports.make_report(in_folder(e, tmp_path / e.name), tmp_path / e.name).missing == []
    losses(tmp_path, e, new[:3], old[:3])
    made = reports.make_report(in_folder(e, tmp_path / e.name), tmp_path / e.name)
    assert made.missing == ["new seed 3", "old seed 3"]
    losses(tmp_path, e, new, old)
    (judged,) = reports.make_report(in_folder(e, tmp_path / e.name), tmp_path / e.name).judged
    differences = np.subtract(new, old)
    half = stats.t.ppf(0.975, 3) * differences.std(ddof=1) / 2
    assert judged.interval is not None
    assert judged.interval.high - judged.interval.estimate == pytest.approx(half)


def test_the_command_that_makes_the_runs_again_asks_for_all_of_their_seeds(tmp_path):
    e = made_up(scales={"cpu": Scale({}, seeds=(0, 1))})
    losses(tmp_path, e, [2.0, 3.0], [2.1, 3.11])
    assert in_folder(e, tmp_path / e.name).run_options == [()]
    losses(tmp_path, e, [2.0, 3.0, 4.0], [2.1, 3.11, 4.2])
    assert in_folder(e, tmp_path / e.name).run_options == [("--seeds", "0:3")]
    write_run(tmp_path, e, "new", 3, scale="cpu")  # a second stage runs the arms that its plan needs
    assert in_folder(e, tmp_path / e.name).run_options == [("--to-decide",)]


def test_what_a_claim_fits_to_its_runs_is_in_the_report_and_too_few_runs_fit_nothing(tmp_path):
    def findings(results):
        if len(results) < 4:
            raise InputError("too few")
        return [f"a line through {len(results)} runs"]

    e = made_up(scales={"cpu": Scale({}, seeds=(0, 1))}, findings=findings)
    losses(tmp_path, e, [2.0], [2.1])
    assert in_folder(e, tmp_path / e.name).findings == []
    losses(tmp_path, e, [2.0, 3.0], [2.1, 3.11])
    text = reports.make_report(in_folder(e, tmp_path / e.name), tmp_path / e.name).path.read_text(encoding="utf-8")
    assert "- a line through 4 runs" in text
