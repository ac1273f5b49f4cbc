"""Accuracy out of distribution against accuracy in distribution: one line through all arms, and who lies above it.

A gap compares models of different accuracy, and whoever has learned more has more to lose. Taori et al. (2020, section
2) therefore ask how far a model lies above the line through other models: its effective robustness. A line is fitted
for every seed by itself, and the intervals are Student's over the seeds. Bag-of-words, which every run fits on the same
sentences, is one of the models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.runs.results import Result
from experiments.verdicts.statistics import t_interval
from gpt_jax.errors import InputError

IID, OOD, WORDS = "test/accuracy", "ood/accuracy", "bag_of_words"
LEAST = 4  # models of one seed: a line through three others fits one of them

Point = tuple[float, float]  # accuracy in distribution and out of it, in %


def points(results: Sequence[Result]) -> dict[int, dict[str, Point]]:
    """Seed -> model -> its point, of the seeds that have every arm. Raises `InputError` where no seed has enough."""
    seeds: dict[int, dict[str, Point]] = {}
    for result in results:
        at = seeds.setdefault(result.seed, {})
        for name, prefix in ((result.arm, ""), ("bag-of-words", f"{WORDS}/")):
            point = 100 * result.value(prefix + IID), 100 * result.value(prefix + OOD)
            if all(map(math.isfinite, point)):
                at[name] = point
    everything = {name for at in seeds.values() for name in at}
    whole = {seed: at for seed, at in seeds.items() if set(at) == everything}
    if not whole or len(everything) < LEAST:
        raise InputError(f"robustness: {len(everything)} models: at least {LEAST} are needed, all in one seed")
    return whole


def above_the_others(at: Mapping[str, Point], name: str) -> float:
    """How many points a model lies above the line through all others."""
    slope, start = line([point for other, point in at.items() if other != name])
    iid, ood = at[name]
    return ood - (start + slope * iid)


def line(through: Sequence[Point]) -> tuple[float, float]:
    """Slope and start of the least-squares line."""
    slope, start = np.polyfit([iid for iid, _ in through], [ood for _, ood in through], 1)
    return float(slope), float(start)


def findings(results: Sequence[Result]) -> list[str]:
    """The slope, and each model's distance from the line of the others. Raises `InputError` for too few models."""
    seeds = points(results)
    slopes = [line([*at.values()])[0] for at in seeds.values()]
    said = [
        f"a point of accuracy in distribution is worth {_mean(slopes)} points out of it (a line through "
        f"{len(next(iter(seeds.values())))} models, in each of {len(seeds)} seeds)"
    ]
    for name in next(iter(seeds.values())):
        iid, ood = np.mean([at[name] for at in seeds.values()], axis=0)
        distances = [above_the_others(at, name) for at in seeds.values()]
        said.append(f"{name}: {iid:.1f} % and {ood:.1f} %: {_mean(distances)} points above the line of the others")
    return said


def _mean(values: Sequence[float]) -> str:
    """The mean and its interval; of one seed, the value."""
    mean, low, high = t_interval(values) if len(values) > 1 else (values[0], math.nan, math.nan)
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
