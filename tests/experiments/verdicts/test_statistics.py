"""The intervals, against SciPy's own, closed forms and numbers from tables."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.verdicts.statistics import (
    holm,
    mean_and_sd,
    p_value,
    pairs_needed,
    rate_difference,
    rate_p_value,
    stein_interval,
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


def test_steins_number_is_the_one_worked_by_hand():
    # 1, 2, 3: sd 1, t(2) 4.302653. (4.302653 / 0.5)^2 = 74.05, so 75 pairs; for 5, fewer than the three there are.
    assert pairs_needed([1.0, 2.0, 3.0], 0.5) == 75
    assert pairs_needed([1.0, 2.0, 3.0], 5) == 3
    assert pairs_needed([1.0, 1.0], 0.1) == 2
    # With them, half of the interval is just below the margin; with one less, above it.
    for n, below in ((75, True), (74, False)):
        interval = stein_interval([1.0, 2.0, 3.0], [2.0] * (n - 3))
        assert ((interval.high - interval.low) / 2 < 0.5) == below
    with pytest.raises(InputError):
        pairs_needed([1.0], 0.5)
    with pytest.raises(InputError):
        pairs_needed([1.0, 2.0], 0.0)


def test_a_two_stage_interval_has_the_spread_of_the_first_stage_and_the_mean_of_both():
    estimate, low, high = stein_interval([1.0, 2.0, 3.0], [10.0])
    assert estimate == 4
    assert high - 4 == pytest.approx(4.302653 * 1 / 2, rel=1e-6) == 4 - low
    assert stein_interval([1.0, 2.0, 4.0], []) == t_interval([1.0, 2.0, 4.0])


def test_two_stages_cover_the_true_mean_19_times_in_20_where_a_plain_interval_after_looking_does_not():
    rng, margin = np.random.default_rng(3), 1.0
    held, plain = 0, 0
    for _ in range(1000):
        first = rng.normal(0.3, 1.0, 3).tolist()
        rest = rng.normal(0.3, 1.0, pairs_needed(first, margin) - 3).tolist()
        _, low, high = stein_interval(first, rest)
        held += low <= 0.3 <= high
        assert high - low < 2 * margin
        values = [*first]  # stops as soon as the plain interval is narrow: what is not offered
        while (interval := t_interval(values)).high - interval.low >= 2 * margin:
            values.append(rng.normal(0.3, 1.0))
        plain += interval.low <= 0.3 <= interval.high
    assert held / 1000 == pytest.approx(0.95, abs=0.02)
    assert plain / 1000 < held / 1000 - 0.01


@given(numbers)
def test_a_p_value_is_scipys_paired_test(values):
    if np.std(values) < 1e-6:
        return
    expected: Any = stats.ttest_1samp(values, 0.0)
    assert p_value(t_interval(values), len(values)) == pytest.approx(expected.pvalue, rel=1e-5, abs=1e-9)


@given(numbers, st.floats(0.1, 100))
def test_a_p_value_is_below_five_percent_exactly_where_the_interval_says_so(values, margin):
    interval = t_interval(values)
    for p, says, distance in (
        (p_value(interval, len(values)), interval.low > 0 or interval.high < 0, min(map(abs, interval[1:]))),
        (
            p_value(interval, len(values), margin),
            -margin < interval.low and interval.high < margin,
            min(abs(interval.low + margin), abs(interval.high - margin)),
        ),
    ):
        if distance > 1e-6:
            assert (p < 0.05) == says


def test_holm_is_the_one_worked_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.4, times 4, 3, 2, 1: 0.04, 0.06, 0.06 (never below the one before), 0.4.
    assert holm([0.4, 0.01, 0.03, 0.02]) == pytest.approx([0.4, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []
    corrected = holm([0.02, math.nan])  # a test that could not be made counts
    assert corrected[0] == 0.04 and math.isnan(corrected[1])


def test_fishers_test_of_none_against_all_is_one_table_in_all():
    assert rate_p_value(0, 3, 3, 3) == pytest.approx(2 / math.comb(6, 3))


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
