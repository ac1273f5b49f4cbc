"""Intervals for a handful of paired runs. Pure functions of numbers; SciPy does the distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gpt_jax.errors import InputError
from gpt_jax.intervals import Interval, proportion


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


def rate_difference(
    successes: int, trials: int, control_successes: int, control_trials: int, confidence: float = 0.95
) -> Interval:
    """The difference of two proportions, from their two exact intervals at half the error each (Bonferroni).

    Covers at least `confidence` however the two are paired; wider than an approximate interval for that.
    """
    each = 1 - (1 - confidence) / 2
    ours = proportion(successes, trials, each)
    control = proportion(control_successes, control_trials, each)
    return Interval(ours.estimate - control.estimate, ours.low - control.high, ours.high - control.low)
