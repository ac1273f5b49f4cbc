"""Turns results into verdicts, by pairs, intervals, and the rule that was stated before the runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from experiments.experiment import FAILED, SMOKE, Comparison, Experiment
from experiments.runs.results import Result
from experiments.verdicts.evidence import why_none
from experiments.verdicts.statistics import (
    holm,
    mean_and_sd,
    p_value,
    pairs_needed,
    rate_difference,
    rate_p_value,
    stein_interval,
)
from gpt_jax.intervals import Interval, bootstrap, mean

Verdict = Literal["reproduced", "contradicted", "ruled out", "not decided", "no evidence"]
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
    first: int = 0  # pairs of the first stage, whose spread makes the interval; 0 for failure rates
    sd: float = math.nan  # of a difference in the first stage
    needed: int | None = None  # pairs with which half the interval is smaller than the margin
    p: float = math.nan  # of no difference (where "equal" was stated: of one as large as the margin)
    holm: float = math.nan  # the same after Holm's correction over the primary comparisons

    @property
    def could_see(self) -> float:
        """Half the interval's width: an effect of this size and more would have shown beside 0."""
        return (self.interval.high - self.interval.low) / 2 if self.interval else math.nan


def verdict(interval: Interval | None, comparison: Comparison) -> Verdict:
    """What the 95 % interval [low, high] of treatment less control says of what was stated, with its margin m.

    Where "higher" was stated (for "lower", read the differences with the other sign):

    | verdict | interval | estimate |
    |---|---|---|
    | reproduced | wholly above 0 | at least m |
    | contradicted | wholly below 0 | at most -m |
    | ruled out | wholly between -m and m: no effect of the stated size, whichever its sign | |
    | not decided | any other: too wide | |
    | no evidence | none, or its runs show nothing (`judge_all`) | |

    Where "equal" was stated:

    | verdict | interval |
    |---|---|
    | reproduced | within [-m, m], by an experiment that tells a known difference apart (`judge_all`) |
    | contradicted | wholly above m, or wholly below -m |
    | not decided | any other: too wide |

    A comparison that states no margin (m = 0; never a primary one) can be reproduced and contradicted, not ruled out.
    """
    if interval is None or any(map(math.isnan, interval)):
        return "no evidence"
    m = comparison.margin
    estimate, low, high = interval
    if comparison.expected == "equal":
        inside, outside = -m <= low and high <= m, low > m or high < -m
        return "reproduced" if inside else "contradicted" if outside else "not decided"
    if comparison.expected == "lower":
        estimate, low, high = -estimate, -high, -low
    if low > 0 and estimate >= m:
        return "reproduced"
    if high < 0 and estimate <= -m:
        return "contradicted"
    return "ruled out" if -m < low and high < m else "not decided"


def judge_all(results: Sequence[Result], experiment: Experiment) -> list[Judged]:
    """Every comparison of an experiment. The interval decides (`verdict`), after these, each of which says "no
    evidence", with a note of why:

    - a smoke scale gives no verdicts;
    - the runs have learned nothing, or a baseline is ahead of them all (`evidence.why_none`);
    - "equal" needs assay sensitivity: the comparison that it names as `sensitivity`, a known difference in the same
      experiment, must be reproduced. An experiment that tells nothing apart finds everything equal.
    """
    known_scale = experiment.scales.get(results[0].scale) if results else None
    first = known_scale.seeds if known_scale else ()
    judged = [judge(results, comparison, experiment.learned, first) for comparison in experiment.comparisons]
    primary = [number for number, one in enumerate(judged) if one.comparison.primary]
    for number, corrected in zip(primary, holm([judged[number].p for number in primary]), strict=True):
        judged[number] = replace(judged[number], holm=corrected)
    if results and results[0].scale == SMOKE:
        return [replace(one, verdict="no evidence") for one in judged]
    found = {one.comparison.title: one.verdict for one in judged}
    return [_with_sensitivity(one, found) for one in judged]


def _with_sensitivity(judged: Judged, found: Mapping[str, str]) -> Judged:
    known = judged.comparison.sensitivity
    if judged.comparison.expected != "equal" or judged.verdict != "reproduced" or found.get(known) == "reproduced":
        return judged
    why = f"the known difference {known!r} is not told apart" if known else "no known difference is named to tell apart"
    return replace(judged, verdict="no evidence", notes=(*judged.notes, f"within the margins, but {why}"))


def judge(
    results: Sequence[Result],
    comparison: Comparison,
    least: Mapping[str, float] | None = None,
    first_seeds: Sequence[int] = (),
) -> Judged:
    """One comparison over all results of an experiment.

    `least` is `Experiment.learned`. `first_seeds` are the scale's own: where there are pairs of these and of further
    seeds, the interval is Stein's for two stages, and the best arms of sweeps are those of the first stage.
    """
    if comparison.metric == FAILED:
        return _judge_failures(results, comparison)
    chosen_on = [r for r in results if r.seed in first_seeds] or results
    treatment = best_arm(chosen_on, comparison.treatments, comparison.metric)
    control = best_arm(chosen_on, comparison.controls, comparison.metric) if comparison.controls else ""
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
    first = [difference for seed, difference in differences.items() if seed in first_seeds]
    rest = [difference for seed, difference in differences.items() if seed not in first_seeds]
    if len(first) < 2:  # all seeds are one stage
        first, rest = values, []
    interval = stein_interval(first, rest) if len(values) > 1 else None
    resampled = bootstrap(mean, np.asarray(values), resamples=10_000) if len(values) >= BOOTSTRAP_FROM else None
    found: Verdict = verdict(interval, comparison)
    if interval is None:
        notes.append(f"{len(values)} pairs: at least 2 are needed")
    elif reason := why_none([[side[seed] for seed in differences] for side in sides], comparison, least or {}):
        found, notes = "no evidence", [*notes, reason]
    if interval is not None and interval.low == interval.high:
        notes.append("all differences are equal: the interval has no width")
    judged = Judged(comparison, treatment, control, differences, interval, resampled, found, len(values), tuple(notes))
    if interval is None:
        return judged
    within = comparison.margin if comparison.expected == "equal" else None
    return replace(
        judged,
        first=len(first),
        sd=mean_and_sd(first)[1],
        needed=pairs_needed(first, comparison.margin) if comparison.margin else None,
        p=p_value(interval, len(first), within),
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
    interval, notes, p = None, (), math.nan
    if min(len(ours), len(theirs)) > 1:
        failures = [sum(bool(r.failure) for r in runs) for runs in (ours, theirs)]
        interval = rate_difference(failures[0], len(ours), failures[1], len(theirs))
        p = rate_p_value(failures[0], len(ours), failures[1], len(theirs))
    by_seed = {}
    for seed in sorted({r.seed for r in ours} & {r.seed for r in theirs}):
        rates = [mean_and_sd([r.value(FAILED) for r in runs if r.seed == seed])[0] for runs in (ours, theirs)]
        by_seed[seed] = rates[0] - rates[1]
    names = [" + ".join(arms) for arms in (comparison.treatments, comparison.controls)]
    found = verdict(interval, comparison)
    if interval is None or all(r.failure for r in (*ours, *theirs)):
        found, notes = "no evidence", ("too few runs" if interval is None else "every run failed",)
    n = min(len(ours), len(theirs))
    return Judged(comparison, names[0], names[1], by_seed, interval, None, found, n, notes, p=p)


def _by_seed(results: Sequence[Result], arm: str) -> dict[int, Result]:
    return {result.seed: result for result in results if result.arm == arm}
