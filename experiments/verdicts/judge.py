"""Turns results into verdicts, by pairs, intervals, and the rule that was stated before the runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from experiments.experiment import FAILED, SMOKE, Comparison, Experiment
from experiments.runs.results import Result
from experiments.verdicts.evidence import one_sided, why_none
from experiments.verdicts.grid import edges
from experiments.verdicts.statistics import (
    holm,
    mean_and_sd,
    p_value,
    pairs_needed,
    rate_difference,
    rate_p_value,
    spread_grew,
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


def counted(count: int, what: str) -> str:
    """A number and its noun."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def judge_all(results: Sequence[Result], experiment: Experiment) -> list[Judged]:
    """Every comparison that belongs to the scale of the results (`Experiment.comparisons_at`). The interval decides
    (`verdict`), after these, each of which says "no evidence", with a note of why:

    - a smoke scale gives no verdicts;
    - the runs have learned nothing, or a baseline is ahead of them all (`evidence.why_none`);
    - "equal" needs assay sensitivity: the comparison that it names as `sensitivity`, a known difference in the same
      experiment, must be reproduced. An experiment that tells nothing apart finds everything equal.
    """
    scale = results[0].scale if results else ""
    first = experiment.scales[scale].one_stage if scale in experiment.scales else ()
    compared = experiment.comparisons_at(scale, {result.arm for result in results})
    fresh = experiment.fresh_seeds(scale)
    own = [result for result in results if result.seed not in fresh]
    judged = [
        _on_fresh(results, own, comparison, experiment.learned, seeds)
        if (seeds := comparison.fresh.get(scale))
        else judge(own, comparison, experiment.learned, first)
        for comparison in compared
    ]
    primary = [number for number, one in enumerate(judged) if one.comparison.primary]
    for number, corrected in zip(primary, holm([judged[number].p for number in primary]), strict=True):
        judged[number] = replace(judged[number], holm=corrected)
    if scale == SMOKE:
        return [replace(one, verdict="no evidence") for one in judged]
    found = {one.comparison.title: one.verdict for one in judged}
    return [_with_sensitivity(one, found) for one in judged]


def _on_fresh(
    results: Sequence[Result],
    own: Sequence[Result],
    comparison: Comparison,
    least: Mapping[str, float],
    seeds: Sequence[int],
) -> Judged:
    """A comparison for which fresh seeds alone count; without them, the scale's own are pilots that decide nothing."""
    counting = [result for result in results if result.seed in seeds and result.arm in comparison.arms]
    if counting:
        return judge(counting, comparison, least, seeds)
    pilot = judge(own, comparison, least)
    note = f"these seeds are pilots: seeds {seeds[0]} to {seeds[-1]} count, and are not here"
    return replace(pilot, verdict="no evidence", notes=(*pilot.notes, note))


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
    seeds, the interval is Stein's for two stages, or Student's over all pairs where that is wider. Of sweeps, the best
    arms are compared, and each seed is scored with the arms that other seeds of the first stage choose (`best_arms`).
    """
    if comparison.metric == FAILED:
        return _judge_failures(results, comparison)
    sweeps = [comparison.treatments, *([comparison.controls] if comparison.controls else [])]
    chosen = [best_arms(results, arms, comparison, first_seeds) for arms in sweeps]
    sides: list[dict[int, Result]] = [{} for _ in sweeps]
    differences: dict[int, float] = {}
    notes: list[str] = []
    for seed in sorted({r.seed for r in results}):
        pair = [_run(results, arms.get(seed, arms[None]), seed) for arms in chosen]
        runs = [run for run in pair if run is not None]
        if len(runs) < len(pair):
            continue
        control_metric = comparison.against or comparison.metric
        difference = runs[0].value(comparison.metric) - sum(r.value(control_metric) for r in runs[1:])
        failed = [f"{r.arm} ({r.failure})" for r in runs if r.failure]
        if failed and not comparison.with_failed:
            notes.append(f"seed {seed} is left out: {', '.join(failed)}")
        elif not math.isfinite(difference):
            notes.append(f"seed {seed} is left out: it has no {comparison.metric}")
        else:
            differences[seed] = difference
            for side, run in zip(sides, runs, strict=True):
                side[seed] = run
    for arms, best in zip(sweeps, chosen, strict=True):
        notes += choice_notes(results, arms, best, differences)
    treatment, control = chosen[0][None], chosen[1][None] if len(chosen) > 1 else ""
    values = list(differences.values())
    first = [difference for seed, difference in differences.items() if seed in first_seeds]
    rest = [difference for seed, difference in differences.items() if seed not in first_seeds]
    if len(first) < 2 or spread_grew(first, rest):  # all seeds are one stage
        if len(first) >= 2:
            notes.append("further seeds spread wider than the first stage did: the interval is of all seeds as one")
        first, rest = values, []
    interval = stein_interval(first, rest) if len(values) > 1 else None
    resampled = bootstrap(mean, np.asarray(values), resamples=10_000) if len(values) >= BOOTSTRAP_FROM else None
    found: Verdict = verdict(interval, comparison)
    if interval is None:
        notes.append(f"{counted(len(values), 'pair')}: at least 2 are needed")
    elif reason := why_none([list(side.values()) for side in sides], comparison, least or {}):
        found, notes = "no evidence", [*notes, reason]
    elif reason := one_sided([list(side.values()) for side in sides], comparison, least or {}):
        notes.append(reason)
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


def best_arms(
    results: Sequence[Result], arms: Sequence[str], comparison: Comparison, first_seeds: Sequence[int] = ()
) -> dict[int | None, str]:
    """The best arm of a sweep for each seed, and under None the best over all that chooses.

    What chooses is the first stage. For one of its own seeds, it is all its other seeds: an arm that is best by luck
    on the seeds which choose it has no such luck on the seed that scores it. A sweep of one arm needs no choice.
    """
    if len(arms) == 1:
        return {None: arms[0]}
    choosing = [r for r in results if r.seed in first_seeds] or list(results)
    best: dict[int | None, str] = {None: best_arm(choosing, arms, comparison)}
    for seed in {r.seed for r in choosing}:
        others = [r for r in choosing if r.seed != seed]
        best[seed] = best_arm(others, arms, comparison) if others else best[None]
    return best


def best_arm(results: Sequence[Result], arms: Sequence[str], comparison: Comparison) -> str:
    """The best arm of a sweep: the fewest failures (by rate), then the best mean. Arms without runs come last."""
    metric, sign = comparison.metric, -1 if comparison.best == "highest" else 1

    def rank(arm: str) -> tuple[float, float]:
        runs = [r for r in results if r.arm == arm]
        values = [r.value(metric) for r in runs if not r.failure and math.isfinite(r.value(metric))]
        rate = sum(bool(r.failure) for r in runs) / len(runs) if runs else math.inf
        return rate, sign * mean_and_sd(values)[0] if values else math.inf

    return min(arms, key=rank)


def choice_notes(
    results: Sequence[Result], arms: Sequence[str], best: Mapping[int | None, str], scored: Iterable[int]
) -> list[str]:
    """What to know of a choice from a sweep: that it changes with the seeds, and that it lies at the grid's edge."""
    if len(arms) == 1:
        return []
    picked = [best.get(seed, best[None]) for seed in scored]
    counts = [f"{arm} for {picked.count(arm)}" for arm in dict.fromkeys(picked)]
    notes = [f"the best cell changes with the seeds that choose it: {', '.join(counts)}"] if len(counts) > 1 else []
    return notes + [f"{best[None]} lies at the edge of its grid: {one}" for one in edges(results, arms, best[None])]


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


def _run(results: Sequence[Result], arm: str, seed: int) -> Result | None:
    return next((r for r in results if (r.arm, r.seed) == (arm, seed)), None)
