"""Intervals for a handful of paired runs. Pure functions of numbers; SciPy does the distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gpt_jax.errors import InputError


class Interval(NamedTuple):
    """An estimate with its confidence limits, in the unit of the data."""

    estimate: float
    low: float
    high: float


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the standard deviation with n - 1 below (NaN for one value)."""
    array = np.asarray(values, np.float64)
    if array.size == 0:
        return math.nan, math.nan
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else math.nan


def t_interval(differences: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's interval for the mean of paired differences: mean +- t(n - 1) sd / sqrt(n).

    Raises `InputError` for fewer than two differences, where no spread can be seen.
    """
    from scipy import stats

    if len(differences) < 2:
        raise InputError(f"differences: {len(differences)} given: at least 2 are needed for an interval")
    mean, sd = mean_and_sd(differences)
    half = float(stats.t.ppf((1 + confidence) / 2, len(differences) - 1)) * sd / math.sqrt(len(differences))
    return Interval(mean, mean - half, mean + half)


def bootstrap_interval(
    differences: Sequence[float], seed: int = 0, resamples: int = 10_000, confidence: float = 0.95
) -> Interval:
    """The percentile bootstrap of the mean: assumes no distribution, but is too narrow below about 5 values."""
    array = np.asarray(differences, np.float64)
    if array.size < 2:
        raise InputError(f"differences: {array.size} given: at least 2 are needed for an interval")
    drawn = np.random.default_rng(seed).integers(0, array.size, (resamples, array.size))
    low, high = np.quantile(array[drawn].mean(axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(array.mean()), float(low), float(high))


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """The exact interval for a proportion: never covers less than `confidence` (Clopper and Pearson 1934)."""
    from scipy import stats

    if not 0 <= successes <= trials or trials < 1:
        raise InputError(f"successes: {successes} of {trials} is not allowed: 0 <= successes <= trials, trials >= 1")
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(stats.beta.ppf(1 - tail, successes + 1, trials - successes))
    return Interval(successes / trials, low, high)


def rate_difference(
    successes: int, trials: int, control_successes: int, control_trials: int, confidence: float = 0.95
) -> Interval:
    """The difference of two proportions, from their two exact intervals at half the error each (Bonferroni).

    Covers at least `confidence` however the two are paired; wider than an approximate interval for that.
    """
    each = 1 - (1 - confidence) / 2
    ours = clopper_pearson(successes, trials, each)
    control = clopper_pearson(control_successes, control_trials, each)
    return Interval(ours.estimate - control.estimate, ours.low - control.high, ours.high - control.low)
