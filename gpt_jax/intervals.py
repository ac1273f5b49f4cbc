"""How sure a figure is: the one bootstrap, and the exact interval of a proportion. SciPy is imported on use."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gpt_jax.errors import InputError

CONFIDENCE = 0.95
RESAMPLES = 1000
AT_ONCE = 4_000_000  # numbers of resamples that are in memory at a time


class Interval(NamedTuple):
    """An estimate with its confidence limits, in the unit of the data. NaN limits: there is no interval."""

    estimate: float
    low: float
    high: float


def bootstrap(
    statistic: Callable[..., Any],
    *samples: np.ndarray,
    paired: bool = True,
    vectorized: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """SciPy's bootstrap of `statistic(*samples)`: BCa (Efron 1987), from resamples that `seed` draws.

    Samples are `(n,)`. They are columns of the same rows, which are drawn whole, if `paired`; else each sample is drawn
    for itself, and their lengths may differ. A vectorized statistic reduces the last axis of `(..., n)` and returns
    `(...)`; another one is called for each resample and returns a number.

    BCa leaves each row out once, so it is used for up to `resamples` rows (in the longest sample). Beyond, percentiles
    are taken: there the two differ by less than the resampling's own noise, and leaving out 100,000 rows one by one
    takes minutes. Percentiles are also taken where BCa cannot be formed (no resample lies on one side of the estimate).

    There is no interval (NaN limits) for fewer than two rows in a sample, for a statistic that is not finite on the
    samples or is NaN on a resample, and where the statistic is the same on all resamples: rows that do not differ show
    no spread, which is no certainty. A proportion has an interval then, too: `proportion`.
    """
    from scipy import stats

    estimate = float(statistic(*samples))
    longest = max(map(len, samples))
    if min(map(len, samples)) < 2 or not math.isfinite(estimate):
        return Interval(estimate, math.nan, math.nan)

    def by_rows(numbers: np.ndarray, axis: int = -1) -> np.ndarray:
        if vectorized:
            return statistic(*(sample[numbers] for sample in samples))
        return np.apply_along_axis(lambda row: float(statistic(*(sample[row] for sample in samples))), -1, numbers)

    def apart(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        return statistic(*drawn)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what is degenerate is dealt with below
        made = stats.bootstrap(
            (np.arange(longest),) if paired else samples,
            by_rows if paired else apart,
            n_resamples=resamples,
            batch=max(1, AT_ONCE // longest),
            vectorized=True,
            confidence_level=confidence,
            method="BCa" if longest <= resamples else "percentile",
            rng=np.random.default_rng(seed),
        )
        values = made.bootstrap_distribution
        limits = made.confidence_interval
        if not all(map(math.isfinite, limits)):
            limits = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
        if np.isnan(values).any() or np.ptp(values) <= 1e-12 * abs(estimate):
            limits = (math.nan, math.nan)
    return Interval(estimate, *map(float, limits))


def proportion(successes: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """The exact interval for a proportion: never covers less than `confidence` (Clopper and Pearson 1934).

    0 of 20 are 0 to 0.168. Raises `InputError` for counts that cannot be.
    """
    from scipy import stats

    if not 0 <= successes <= trials or trials < 1:
        raise InputError(f"successes: {successes} of {trials} is not allowed: 0 <= successes <= trials, trials >= 1")
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(stats.beta.ppf(1 - tail, successes + 1, trials - successes))
    return Interval(successes / trials, low, high)


def mean(*values: np.ndarray) -> Any:
    """A vectorized statistic: the mean of the one sample."""
    return values[0].mean(-1)
