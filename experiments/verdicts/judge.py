"""From results to verdicts: pairs, intervals, and the rule that was stated before the runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from experiments.experiment import FAILED, Comparison
from experiments.runs.results import Result
from experiments.verdicts.statistics import mean_and_sd, rate_difference, t_interval
from gpt_jax.intervals import Interval, bootstrap, mean

Verdict = Literal["reproduced", "contradicted", "not at this scale", "too few seeds"]
BOOTSTRAP_FROM = 5  # pairs; below, its interval is far too narrow


@dataclass(frozen=True)
class Judged:
    """A comparison with its numbers: `differences` by seed, in the metric's unit, treatment less control (if any)."""

    comparison: Comparison
    treatment: str
    control: str
    differences: dict[int, float]
    interval: Interval | None
    bootstrap: Interval | None
    verdict: Verdict
    n: int  # pairs (for failure rates: runs on each side)
    notes: tuple[str, ...] = ()


def verdict(interval: Interval | None, comparison: Comparison) -> Verdict:
    """Reproduced: the interval lies wholly on the stated side of 0, and the estimate reaches the margin.

    Contradicted: the same on the other side. Where "equal" was stated: reproduced if the interval lies within
    the margins, contradicted if it lies outside. Anything else was not seen at this scale.
    """
    if interval is None:
        return "too few seeds"
    estimate, low, high = interval
    margin = comparison.margin
    if comparison.expected == "equal":
        inside, outside = -margin <= low and high <= margin, low > margin or high < -margin
        return "reproduced" if inside else "contradicted" if outside else "not at this scale"
    below, above = high < 0 and -estimate >= margin, low > 0 and estimate >= margin
    stated, other = (below, above) if comparison.expected == "lower" else (above, below)
    return "reproduced" if stated else "contradicted" if other else "not at this scale"


def judge(results: Sequence[Result], comparison: Comparison) -> Judged:
    """One comparison over all results of an experiment."""
    if comparison.metric == FAILED:
        return _judge_failures(results, comparison)
    treatment = best_arm(results, comparison.treatments, comparison.metric)
    control = best_arm(results, comparison.controls, comparison.metric) if comparison.controls else ""
    sides = [_by_seed(results, arm) for arm in (treatment, control) if arm]
    differences, notes = {}, []
    for seed in sorted(set.intersection(*map(set, sides))):
        pair = [side[seed] for side in sides]
        control_metric = comparison.against or comparison.metric
        difference = pair[0].value(comparison.metric) - sum(r.value(control_metric) for r in pair[1:])
        failed = [f"{r.arm} ({r.failure})" for r in pair if r.failure]
        if failed and not comparison.with_failed:
            notes.append(f"seed {seed} is left out: {', '.join(failed)}")
        elif not math.isfinite(difference):
            notes.append(f"seed {seed} is left out: it has no {comparison.metric}")
        else:
            differences[seed] = difference
    values = list(differences.values())
    interval = t_interval(values) if len(values) > 1 else None
    resampled = bootstrap(mean, np.asarray(values), resamples=10_000) if len(values) >= BOOTSTRAP_FROM else None
    found = verdict(interval, comparison)
    return Judged(
        comparison, treatment, control, differences, interval, resampled, found, len(differences), tuple(notes)
    )


def best_arm(results: Sequence[Result], arms: Sequence[str], metric: str) -> str:
    """The best arm of a sweep: the fewest failures (by rate), then the lowest mean. Arms without runs come last."""

    def rank(arm: str) -> tuple[float, float]:
        runs = [r for r in results if r.arm == arm]
        values = [r.value(metric) for r in runs if not r.failure and math.isfinite(r.value(metric))]
        rate = sum(bool(r.failure) for r in runs) / len(runs) if runs else math.inf
        return rate, mean_and_sd(values)[0] if values else math.inf

    return min(arms, key=rank)


def _judge_failures(results: Sequence[Result], comparison: Comparison) -> Judged:
    """Failure rates over all runs of either side; the differences by seed are for the eye."""
    ours = [r for r in results if r.arm in comparison.treatments]
    theirs = [r for r in results if r.arm in comparison.controls]
    interval = None
    if min(len(ours), len(theirs)) > 1:
        failures = [sum(bool(r.failure) for r in runs) for runs in (ours, theirs)]
        interval = rate_difference(failures[0], len(ours), failures[1], len(theirs))
    by_seed = {}
    for seed in sorted({r.seed for r in ours} & {r.seed for r in theirs}):
        rates = [mean_and_sd([r.value(FAILED) for r in runs if r.seed == seed])[0] for runs in (ours, theirs)]
        by_seed[seed] = rates[0] - rates[1]
    names = [" + ".join(arms) for arms in (comparison.treatments, comparison.controls)]
    found = verdict(interval, comparison)
    n = min(len(ours), len(theirs))
    return Judged(comparison, names[0], names[1], by_seed, interval, None, found, n)


def _by_seed(results: Sequence[Result], arm: str) -> dict[int, Result]:
    return {result.seed: result for result in results if result.arm == arm}
