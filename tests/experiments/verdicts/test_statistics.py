"""The intervals, against SciPy's own, closed forms and numbers from tables."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.verdicts.statistics import (
    mean_and_sd,
    rate_difference,
    t_interval,
)
from gpt_jax.errors import InputError

numbers = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)


def test_t_interval_equals_the_one_worked_by_hand():
    # 1, 2, 3: mean 2, sd 1, t(2) at 97.5 % is 4.302653 in every table.
    estimate, low, high = t_interval([1.0, 2.0, 3.0])
    assert estimate == 2
    assert high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert 2 - low == pytest.approx(high - 2)


@given(numbers)
def test_t_interval_equals_scipys_paired_test(values):
    if np.std(values) < 1e-6:
        return
    expected = stats.ttest_rel(values, np.zeros(len(values))).confidence_interval(0.95)
    _, low, high = t_interval(values)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-6)


def test_t_interval_covers_the_true_mean_19_times_in_20():
    draws = np.random.default_rng(0).normal(0.3, 1.0, (2000, 5))
    covered = np.mean([low <= 0.3 <= high for _, low, high in map(t_interval, draws)])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_one_difference_has_no_interval():
    with pytest.raises(InputError, match="at least 2"):
        t_interval([1.0])


def test_rate_difference_covers_the_true_one_at_least_19_times_in_20():
    random = np.random.default_rng(1)
    ours, theirs = random.binomial(12, 0.2, 1000), random.binomial(12, 0.7, 1000)
    intervals = [rate_difference(int(a), 12, int(b), 12) for a, b in zip(ours, theirs, strict=True)]
    assert np.mean([low <= -0.5 <= high for _, low, high in intervals]) >= 0.95


def test_rate_difference_is_antisymmetric():
    forward, backward = rate_difference(1, 9, 7, 11), rate_difference(7, 11, 1, 9)
    assert forward == pytest.approx((-backward.estimate, -backward.high, -backward.low))


def test_the_sd_of_one_value_is_not_a_number():
    mean, sd = mean_and_sd([2.0])
    assert mean == 2
    assert math.isnan(sd)
    assert mean_and_sd([1.0, 3.0]) == (2, pytest.approx(math.sqrt(2)))
