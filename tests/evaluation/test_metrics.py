"""Figures from their closed forms, and intervals that cover as often as they say."""

import math

import numpy as np

from gpt_jax.evaluation.metrics import Metric, bits, bootstrap, mean, perplexity


def test_perplexity_and_bits_are_per_unit_not_per_row():
    rows = [{"log_prob": -6.0, "words": 2}, {"log_prob": -3.0, "words": 4}]
    assert math.isclose(bootstrap(perplexity("words", ""), rows).value, math.exp(9 / 6))
    assert math.isclose(bootstrap(bits("words", ""), rows).value, 9 / 6 / math.log(2))


def test_a_hopeless_perplexity_is_infinite_not_an_error():
    assert bootstrap(perplexity("words", ""), [{"log_prob": -1e6, "words": 1}]).value == math.inf


def test_one_row_has_no_interval():
    estimate = bootstrap(mean("x"), [{"x": True}])
    assert estimate.value == 100 and math.isnan(estimate.low) and estimate.n == 1


def test_the_interval_of_a_mean_has_the_width_of_the_normal_one():
    rng = np.random.default_rng(0)
    rows = [{"x": value} for value in rng.normal(3, 2, 400)]
    estimate = bootstrap(mean("x", unit=""), rows)
    values = np.array([row["x"] for row in rows])
    error = values.std() / math.sqrt(400)
    assert abs(estimate.low - (values.mean() - 1.96 * error)) < 0.25 * error
    assert abs(estimate.high - (values.mean() + 1.96 * error)) < 0.25 * error


def test_rows_are_resampled_whole():
    rows = [{"a": n, "b": -n} for n in range(20)]
    estimate = bootstrap(Metric("sum", "", lambda c: float((c["a"] + c["b"]).sum())), rows)
    assert (estimate.low, estimate.high) == (0, 0)
