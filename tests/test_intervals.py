"""Intervals against SciPy's own call, closed forms, and how often they hold the truth."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gpt_jax.errors import InputError
from gpt_jax.intervals import bootstrap, mean, proportion


def test_a_paired_bootstrap_is_scipys_bca_on_the_same_draws():
    rng = np.random.default_rng(0)
    x = rng.gamma(1.0, 1.0, 30)
    y = x + rng.normal(0, 0.1, 30)
    ratio = lambda a, b, axis=-1: a.mean(axis) / b.mean(axis)  # noqa: E731
    expected = stats.bootstrap(
        (x, y), ratio, paired=True, n_resamples=1000, method="BCa", rng=np.random.default_rng(5), vectorized=True
    ).confidence_interval
    found = bootstrap(ratio, x, y, seed=5)
    assert found == pytest.approx((x.mean() / y.mean(), expected.low, expected.high), rel=1e-12)
    apart = bootstrap(ratio, x, y, paired=False, seed=5)
    assert apart.high - apart.low > 5 * (found.high - found.low)  # pairs share their spread


def test_a_statistic_of_one_resample_gives_what_a_vectorized_one_gives():
    values = np.random.default_rng(1).exponential(size=25)
    one = bootstrap(lambda row: float(np.median(row)), values, vectorized=False, resamples=300)
    assert one == bootstrap(lambda rows: np.median(rows, axis=-1), values, resamples=300)


def test_rows_of_any_type_are_drawn_whole():
    words, lengths = np.array(["a", "bb", "ccc"]), np.array([1, 2, 3])

    def longest(w, n):
        assert [len(word) for word in w] == n.tolist()
        return n.max()

    assert bootstrap(longest, words, lengths, vectorized=False, resamples=50).estimate == 3


def test_bca_follows_the_skew_that_percentiles_miss():
    # The mean of 20 exponentials: 2 n mean is chi2(2 n), so the exact interval is known.
    held = {"bca": 0, "percentile": 0}
    draws = np.random.default_rng(2).exponential(size=(400, 20))
    for row in draws:
        _, low, high = bootstrap(mean, row)
        held["bca"] += low <= 1 <= high
        spread = np.random.default_rng(0).choice(row, (1000, 20)).mean(-1)
        low, high = np.quantile(spread, [0.025, 0.975])
        held["percentile"] += low <= 1 <= high
    assert held["bca"] > held["percentile"]
    assert held["bca"] / 400 > 0.89


def test_a_function_of_its_seed():
    values = np.array([0.1, 0.4, -0.2, 0.3, 0.7])
    assert bootstrap(mean, values, seed=3) == bootstrap(mean, values, seed=3) != bootstrap(mean, values, seed=4)


def test_a_hundred_thousand_rows_take_seconds_and_give_the_normal_interval():
    values = np.random.default_rng(3).exponential(size=100_000)
    start = time.perf_counter()
    estimate, low, high = bootstrap(mean, values, resamples=200)
    assert time.perf_counter() - start < 20
    error = values.std() / math.sqrt(len(values))
    assert ((low - estimate) / error, (high - estimate) / error) == pytest.approx((-1.96, 1.96), abs=0.35)


def test_percentiles_take_over_where_there_are_more_rows_than_resamples():
    values = np.random.default_rng(4).exponential(size=101)
    plain = stats.bootstrap(
        (np.arange(101),),
        lambda i, axis: values[i].mean(axis),
        method="percentile",
        n_resamples=100,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert bootstrap(mean, values, resamples=100)[1:] == pytest.approx(tuple(plain))
    assert bootstrap(mean, values, resamples=101)[1:] != pytest.approx(tuple(plain), abs=1e-3)


@pytest.mark.parametrize("values", [[2.0], [0.1] * 7, [0.0] * 20, [1.0, math.inf], [1.0, math.nan]])
def test_no_spread_and_no_number_have_no_interval(values, recwarn):
    estimate, low, high = bootstrap(mean, np.array(values))
    assert math.isnan(low) and math.isnan(high)
    assert estimate == pytest.approx(np.mean(values), nan_ok=True)
    assert not recwarn.list


def test_a_statistic_that_a_resample_does_not_have_has_no_interval(recwarn):
    values = np.array([0.0, 0.0, 0.0, 1.0])  # a resample of zeros has no inverse
    inverse = lambda x: np.where(x.mean(-1) > 0, 1 / np.maximum(x.mean(-1), 1e-9), np.nan)  # noqa: E731
    estimate, low, _ = bootstrap(inverse, values)
    assert estimate == 4 and math.isnan(low)
    assert not recwarn.list


def test_the_largest_value_gets_percentiles_where_bca_cannot_be_formed():
    estimate, low, high = bootstrap(lambda x: x.max(-1), np.arange(10.0))
    assert (estimate, high) == (9, 9) and low < 9


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_proportions_interval_is_scipys_exact_one(counts):
    successes, trials = counts
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert proportion(successes, trials) == pytest.approx((successes / trials, expected.low, expected.high), abs=1e-12)


def test_none_in_n_has_the_closed_form_upper_limit():
    assert proportion(0, 20) == (0, 0, pytest.approx(1 - 0.025 ** (1 / 20)))


@pytest.mark.parametrize("counts", [(3, 2), (-1, 2), (0, 0)])
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(InputError, match="successes"):
        proportion(*counts)
