"""Turns the rows that a task's scoring leaves into a figure with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt_jax import intervals

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Metric:
    """A figure over all rows: `statistic` takes the columns (arrays of equal length) and returns a number.

    `best` is the better end: "high" or "low". `chance` is what guessing gives, where that is known. A `vectorized`
    statistic takes columns `(..., n)` and returns `(...)`, which makes its bootstrap quick. `part_of` names the column
    whose share of rows this is, in percent, if it is one.
    """

    name: str
    unit: str
    statistic: Callable[[Columns], Any]
    best: str = "high"
    chance: float | None = None
    vectorized: bool = False
    part_of: str | None = None


@dataclass(frozen=True)
class Estimate:
    """A figure over `n` rows, and its 95 % interval. NaN limits mean that there is none."""

    value: float
    low: float
    high: float
    n: int


def mean(column: str, name: str | None = None, unit: str = "%", chance: float | None = None) -> Metric:
    """The mean of a column; with the unit "%", times 100 (and `chance` is in percent).

    In percent, a column of booleans, or of the whole numbers 0 and 1, says yes or no of each row: see `estimate`.
    """
    scale, part_of = (100.0, column) if unit == "%" else (1.0, None)
    statistic = lambda c: scale * np.mean(c[column], axis=-1)  # noqa: E731
    return Metric(name or column, unit, statistic, chance=chance, vectorized=True, part_of=part_of)


def perplexity(count: str, unit: str, log_prob: str = "log_prob", name: str = "perplexity") -> Metric:
    """`exp(-sum log_prob / sum count)`: `count` is a column of canonical units (words), not of tokens."""
    return Metric(name, unit, lambda c: _exp(_nats(c, log_prob, count)), best="low", vectorized=True)


def bits(count: str, unit: str, log_prob: str = "log_prob", name: str = "bits") -> Metric:
    """`-sum log_prob / (ln 2 sum count)`."""
    return Metric(name, unit, lambda c: _nats(c, log_prob, count) / math.log(2), best="low", vectorized=True)


def _nats(c: Columns, log_prob: str, count: str) -> Any:
    return -c[log_prob].sum(-1) / c[count].sum(-1)


def _exp(value: Any) -> Any:
    with np.errstate(over="ignore"):
        return np.exp(value)


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """The rows as arrays, one for each key of the first row."""
    return {key: np.asarray([row[key] for row in rows]) for key in rows[0]}


def estimate(metric: Metric, rows: Sequence[Mapping[str, Any]], seed: int = 0) -> Estimate:
    """The metric of `rows` with its interval.

    The share of rows that are right has Clopper and Pearson's exact interval: 0 right of 20 are 0 to 16.8 %. Other
    figures have that of `gpt_jax.intervals.bootstrap` over rows, drawn whole; what it says of NaN holds.
    """
    whole, n = columns(rows), len(rows)
    says = whole[metric.part_of] if metric.part_of is not None else None
    if says is not None and (says.dtype == bool or (says.dtype.kind in "iu" and set(says.tolist()) <= {0, 1})):
        found = intervals.Interval(*(100 * limit for limit in intervals.proportion(int(says.sum()), n)))
    else:
        found = intervals.bootstrap(
            lambda *arrays: metric.statistic(dict(zip(whole, arrays, strict=True))),
            *whole.values(),
            vectorized=metric.vectorized,
            seed=seed,
        )
    return Estimate(*found, n)
