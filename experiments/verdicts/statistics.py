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
    return stein_interval(differences, (), confidence)


def stein_interval(first: Sequence[float], rest: Sequence[float], confidence: float = 0.95) -> Interval:
    """The interval for the mean of two stages, whose second's size was computed from the first's spread (Stein 1945).

    The mean is of all n differences, the standard deviation s of the `first` n0 alone: mean +- t(n0 - 1) s / sqrt(n).
    It covers exactly, for normal differences, whatever n was computed from s: the mean does not depend on s. With no
    `rest` it is Student's. Raises `InputError` for fewer than two in the first stage.
    """
    from scipy import stats

    if len(first) < 2:
        raise InputError(f"differences: {len(first)} given: at least 2 are needed for an interval")
    values, sd = [*first, *rest], mean_and_sd(first)[1]
    mean = mean_and_sd(values)[0]
    half = float(stats.t.ppf((1 + confidence) / 2, len(first) - 1)) * sd / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def spread_grew(first: Sequence[float], rest: Sequence[float]) -> bool:
    """Whether Student's interval over both stages is wider than Stein's.

    Stein's is exact for normal differences alone. Where some runs learn and others do not, a first stage that saw one
    kind only has nearly no spread. The wider of the two covers at least as often as either.
    """
    if not rest:
        return False
    one, two = t_interval([*first, *rest]), stein_interval(first, rest)
    return one.high - one.low > two.high - two.low


def pairs_needed(first: Sequence[float], margin: float, confidence: float = 0.95) -> int:
    """How many differences in all make half the width of `stein_interval` smaller than `margin`; at least the first's.

    n = max(n0, floor((t(n0 - 1) s / margin)^2) + 1). Raises `InputError` for fewer than two, or without a margin.
    """
    from scipy import stats

    if len(first) < 2 or not margin > 0:
        raise InputError(f"first stage: {len(first)} differences, margin {margin:g}: at least 2 and above 0 are needed")
    ratio = float(stats.t.ppf((1 + confidence) / 2, len(first) - 1)) * mean_and_sd(first)[1] / margin
    return max(len(first), math.floor(ratio**2) + 1)


def p_value(interval: Interval, pairs: int, equal_within: float | None = None, confidence: float = 0.95) -> float:
    """The error at which a t interval from a spread of `pairs` differences would just touch 0.

    Below 1 - confidence exactly if `interval` excludes 0 (two-sided t test). With `equal_within`, a margin: exactly if
    it lies within the margins (two one-sided tests, doubled as each side of the interval has half of the error).
    """
    from scipy import stats

    distance = abs(interval.estimate) if equal_within is None else equal_within - abs(interval.estimate)
    half = (interval.high - interval.low) / 2
    if half == 0:
        return 0.0 if distance > 0 else 1.0
    error = half / float(stats.t.ppf((1 + confidence) / 2, pairs - 1))
    return min(1.0, 2 * float(stats.t.sf(distance / error, pairs - 1)))


def rate_p_value(successes: int, trials: int, control_successes: int, control_trials: int) -> float:
    """Fisher's exact test, two-sided, that two proportions are one."""
    from scipy import stats

    table = [[n, total - n] for n, total in ((successes, trials), (control_successes, control_trials))]
    return float(stats.fisher_exact(table)[1])  # type: ignore[index]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p values: the i-th smallest of k times k - i + 1, never below a smaller one's, at most 1.

    All that are below 0.05 together have a chance of at most 0.05 of one false one. NaN, a test that could not be made,
    counts among the k and stays NaN.
    """
    adjusted, largest = [math.nan] * len(p_values), 0.0
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    for rank, (p, place) in enumerate(order):
        largest = adjusted[place] = max(largest, min(1.0, (len(p_values) - rank) * p))
    return adjusted


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
