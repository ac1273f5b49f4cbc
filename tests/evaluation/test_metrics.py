"""Figures from their closed forms, and intervals that cover as often as they say."""

import math
import time

import numpy as np
import pytest

from gpt_jax.evaluation.metrics import Metric, bits, estimate, mean, perplexity


def test_perplexity_and_bits_are_per_unit_not_per_row():
    rows = [{"log_prob": -6.0, "words": 2}, {"log_prob": -3.0, "words": 4}]
    assert math.isclose(estimate(perplexity("words", ""), rows).value, math.exp(9 / 6))
    assert math.isclose(estimate(bits("words", ""), rows).value, 9 / 6 / math.log(2))


def test_a_hopeless_perplexity_is_infinite_not_an_error():
    assert estimate(perplexity("words", ""), [{"log_prob": -1e6, "words": 1}]).value == math.inf


def test_one_row_has_no_interval():
    found = estimate(mean("x"), [{"x": 0.5}])
    assert found.value == 50 and math.isnan(found.low) and math.isnan(found.high) and found.n == 1


@pytest.mark.parametrize("kind", [bool, int, np.bool_])
def test_none_right_of_twenty_is_zero_to_seventeen_percent(kind):
    found = estimate(mean("correct", "accuracy"), [{"correct": kind(0)}] * 20)
    assert (found.value, found.low, found.n) == (0, 0, 20)
    assert math.isclose(found.high, 100 * (1 - 0.025 ** (1 / 20)))
    assert math.isclose(estimate(mean("correct"), [{"correct": kind(1)}]).low, 2.5)


def test_a_mean_of_parts_is_no_proportion():
    rows = [{"f1": n / 10} for n in range(11)]
    found = estimate(mean("f1"), rows)
    assert found.value == 50 and 20 < found.low < 45 and 55 < found.high < 80


@pytest.mark.slow
def test_a_built_in_figure_of_a_hundred_thousand_rows_takes_seconds():
    rows = [{"log_prob": -1.0 - n % 7, "words": 1 + n % 3} for n in range(100_000)]
    start = time.perf_counter()
    found = estimate(perplexity("words", ""), rows)
    assert found.low < found.value < found.high
    assert time.perf_counter() - start < 30


def test_the_interval_of_a_mean_has_the_width_of_the_normal_one():
    rng = np.random.default_rng(0)
    rows = [{"x": value} for value in rng.normal(3, 2, 400)]
    found = estimate(mean("x", unit=""), rows)
    values = np.array([row["x"] for row in rows])
    error = values.std() / math.sqrt(400)
    assert abs(found.low - (values.mean() - 1.96 * error)) < 0.25 * error
    assert abs(found.high - (values.mean() + 1.96 * error)) < 0.25 * error


def test_rows_are_resampled_whole():
    rows = [{"a": n, "b": -n} for n in range(20)]
    found = estimate(Metric("sum", "", lambda c: float((c["a"] + c["b"]).sum())), rows)
    assert found.value == 0 and math.isnan(found.low)
