"""The noise floor: what the seeds alone do to a difference of two runs of one arm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.experiment import FAILED, Experiment
from experiments.runs.results import Result
from experiments.verdicts.statistics import mean_and_sd


@dataclass(frozen=True)
class Floor:
    """Two runs of one arm at other seeds differ in `metric` by `sd` (standard deviation).

    The mean of `n` such differences is within `half` of 0 with 95 %. `of` says which runs tell.
    """

    metric: str
    sd: float
    half: float
    n: int
    of: str


def noise_floors(results: Sequence[Result], experiment: Experiment) -> list[Floor]:
    """A floor for each metric that the experiment compares, where enough runs have it.

    An experiment that trains one arm twice (`noise_floor`) shows it by the pairs of the two. Any other experiment shows
    it by the spread of each arm over its seeds: the variances are pooled, and a difference of two runs has twice that.
    Arms of one seed share what the seed draws, so that their differences vary less than this.
    """
    good = [r for r in results if not r.failure]
    metrics = dict.fromkeys(c.metric for c in experiment.comparisons if c.metric != FAILED)
    floors = [_of_pairs(good, metric, experiment.noise_floor) or _of_seeds(good, metric) for metric in metrics]
    return [floor for floor in floors if floor is not None]


def _of_pairs(results: Sequence[Result], metric: str, pair: tuple[str, str] | None) -> Floor | None:
    if pair is None:
        return None
    ours, theirs = ({r.seed: r.value(metric) for r in results if r.arm == arm} for arm in pair)
    differences = [ours[seed] - theirs[seed] for seed in sorted({*ours} & {*theirs})]
    differences = [one for one in differences if math.isfinite(one)]
    if len(differences) < 2:
        return None
    return _floor(metric, mean_and_sd(differences)[1], len(differences) - 1, len(differences), " - ".join(pair))


def _of_seeds(results: Sequence[Result], metric: str) -> Floor | None:
    arms: dict[str, list[float]] = {}
    for result in results:
        if math.isfinite(value := result.value(metric)):
            arms.setdefault(result.arm, []).append(value)
    arms = {arm: values for arm, values in arms.items() if len(values) > 1}
    if not arms:
        return None
    freedom = sum(len(values) - 1 for values in arms.values())
    variance = sum((len(values) - 1) * mean_and_sd(values)[1] ** 2 for values in arms.values()) / freedom
    of = f"the seeds of {len(arms)} arm{'s' if len(arms) > 1 else ''}"
    return _floor(metric, math.sqrt(2 * variance), freedom, min(map(len, arms.values())), of)


def _floor(metric: str, sd: float, freedom: int, n: int, of: str) -> Floor:
    from scipy import stats

    return Floor(metric, sd, float(stats.t.ppf(0.975, freedom)) * sd / math.sqrt(n), n, of)
