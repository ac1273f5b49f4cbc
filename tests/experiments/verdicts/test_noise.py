"""The noise floor is what seeds alone do, also in an experiment that trains no arm twice."""

import numpy as np
import pytest
from scipy import stats

from experiments.runs.results import read_results
from experiments.verdicts.noise import noise_floors
from tests.experiments.made_up import losses, made_up

NEW, OLD = [2.0, 3.0, 4.5], [2.1, 3.3, 4.2]


def test_two_arms_of_one_config_show_it_by_their_pairs(tmp_path):
    e = made_up(noise_floor=("old", "new"))
    (floor,) = noise_floors(losses(tmp_path, e, NEW, OLD), e)
    differences = np.subtract(OLD, NEW)
    assert (floor.metric, floor.n, floor.of) == ("validation/loss", 3, "old - new")
    assert floor.sd == pytest.approx(differences.std(ddof=1))
    interval = stats.ttest_1samp(differences, 0).confidence_interval()
    assert floor.half == pytest.approx((interval.high - interval.low) / 2)


def test_without_such_arms_the_seeds_of_every_arm_show_it(tmp_path):
    e = made_up()
    (floor,) = noise_floors(losses(tmp_path, e, NEW, OLD), e)
    pooled = (np.var(NEW, ddof=1) + np.var(OLD, ddof=1)) / 2
    assert floor.sd == pytest.approx(np.sqrt(2 * pooled)) and floor.of == "the seeds of 2 arms"


def test_one_run_of_each_arm_shows_none(tmp_path):
    e = made_up()
    losses(tmp_path, e, [2.0], [2.1])
    assert noise_floors(read_results(tmp_path / e.name, e), e) == []
