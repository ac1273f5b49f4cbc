"""From the rows that a task's scoring leaves to a figure with a bootstrap interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.95
Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Metric:
    """A figure over all rows: `statistic` takes the columns (arrays of equal length) and returns a number.

    `best` is the better end: "high" or "low". `chance` is what guessing gives, where that is known.
    """

    name: str
    unit: str
    statistic: Callable[[Columns], float]
    best: str = "high"
    chance: float | None = None


@dataclass(frozen=True)
class Estimate:
    """A figure, and the 95 % interval of the percentile bootstrap over its `n` rows; NaN where one row is all."""

    value: float
    low: float
    high: float
    n: int


def mean(column: str, name: str | None = None, unit: str = "%", chance: float | None = None) -> Metric:
    """The mean of a column; with the unit "%", times 100 (and `chance` is in percent)."""
    scale = 100.0 if unit == "%" else 1.0
    return Metric(name or column, unit, lambda c: scale * float(np.mean(c[column])), chance=chance)


def perplexity(count: str, unit: str, log_prob: str = "log_prob", name: str = "perplexity") -> Metric:
    """`exp(-sum log_prob / sum count)`: `count` is a column of canonical units (words), not of tokens."""
    return Metric(name, unit, lambda c: _exp(-float(c[log_prob].sum() / c[count].sum())), best="low")


def bits(count: str, unit: str, log_prob: str = "log_prob", name: str = "bits") -> Metric:
    """`-sum log_prob / (ln 2 sum count)`."""
    return Metric(name, unit, lambda c: -float(c[log_prob].sum() / (math.log(2) * c[count].sum())), best="low")


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Rows as arrays, one per key of the first row."""
    return {key: np.asarray([row[key] for row in rows]) for key in rows[0]}


def bootstrap(metric: Metric, rows: Sequence[Mapping[str, Any]], seed: int = 0) -> Estimate:
    """The metric of `rows`, and the 2.5 and 97.5 percentiles of it over `RESAMPLES` resamples of them."""
    whole, n = columns(rows), len(rows)
    value = metric.statistic(whole)
    if n < 2:
        return Estimate(value, math.nan, math.nan, n)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, n, n)
        values.append(metric.statistic({key: column[drawn] for key, column in whole.items()}))
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high), n)
