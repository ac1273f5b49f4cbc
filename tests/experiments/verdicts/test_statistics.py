"""The intervals, against SciPy's own, closed forms and numbers from tables."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.verdicts.statistics import (
    bootstrap_interval,
    clopper_pearson,
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


@pytest.mark.parametrize("interval", [t_interval, bootstrap_interval])
def test_one_difference_has_no_interval(interval):
    with pytest.raises(InputError, match="at least 2"):
        interval([1.0])


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_clopper_pearson_equals_scipys_exact_interval(counts):
    successes, trials = counts
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    estimate, low, high = clopper_pearson(successes, trials)
    assert estimate == successes / trials
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_failures_in_n_runs_has_the_closed_form_upper_limit():
    assert clopper_pearson(0, 5).high == pytest.approx(1 - 0.025 ** (1 / 5))


def test_counts_that_cannot_be_are_refused():
    with pytest.raises(InputError):
        clopper_pearson(3, 2)
    with pytest.raises(InputError):
        clopper_pearson(0, 0)


def test_rate_difference_covers_the_true_one_at_least_19_times_in_20():
    random = np.random.default_rng(1)
    ours, theirs = random.binomial(12, 0.2, 1000), random.binomial(12, 0.7, 1000)
    intervals = [rate_difference(int(a), 12, int(b), 12) for a, b in zip(ours, theirs, strict=True)]
    assert np.mean([low <= -0.5 <= high for _, low, high in intervals]) >= 0.95


def test_rate_difference_is_antisymmetric():
    forward, backward = rate_difference(1, 9, 7, 11), rate_difference(7, 11, 1, 9)
    assert forward == pytest.approx((-backward.estimate, -backward.high, -backward.low))


def test_bootstrap_is_a_function_of_its_seed():
    values = [0.1, 0.4, -0.2, 0.3, 0.7]
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_bootstrap_agrees_with_the_normal_interval_for_many_values():
    values = np.random.default_rng(2).normal(1.0, 2.0, 400)
    expected = stats.norm.interval(0.95, values.mean(), values.std() / 20)
    assert bootstrap_interval(values.tolist())[1:] == pytest.approx(expected, abs=0.03)


def test_the_sd_of_one_value_is_not_a_number():
    mean, sd = mean_and_sd([2.0])
    assert mean == 2
    assert math.isnan(sd)
    assert mean_and_sd([1.0, 3.0]) == (2, pytest.approx(math.sqrt(2)))
