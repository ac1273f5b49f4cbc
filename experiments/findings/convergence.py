"""How fast two arms learn: a metric at each evaluation of the runs, the one arm's less the other's, seed by seed.

A comparison looks at the end of training. GPT-1 (section 3.2) also claims that the auxiliary loss accelerates
convergence, which is a claim about the curve.
"""

from __future__ import annotations

from collections.abc import Sequence

from experiments.runs.results import Result
from experiments.verdicts.statistics import t_interval
from gpt_jax.errors import InputError


def by_evaluation(
    results: Sequence[Result], treatment: str, control: str, metric: str
) -> list[tuple[int, float, float, float]]:
    """(step, mean difference, low, high) of each evaluation that all pairs made, where runs of one seed are a pair.

    The intervals are Student's over seeds, each at 95 % by itself. Raises `InputError` for fewer than two pairs.
    """
    runs = {(r.arm, r.seed): dict(zip(r.curve(metric).step, r.curve(metric).value, strict=True)) for r in results}
    seeds = sorted(seed for arm, seed in runs if arm == treatment and (control, seed) in runs)
    if len(seeds) < 2:
        raise InputError(f"{treatment} - {control}: {len(seeds)} pairs of runs: at least 2 are needed")
    pairs = [(runs[treatment, seed], runs[control, seed]) for seed in seeds]
    shared = set.intersection(*(set(curve) for pair in pairs for curve in pair))
    points = []
    for step in sorted(shared):
        mean, low, high = t_interval([one[step] - other[step] for one, other in pairs])
        points.append((step, mean, low, high))
    return points


def line(results: Sequence[Result], treatment: str, control: str, metric: str) -> str:
    """`by_evaluation` in words. Raises `InputError`."""
    points = by_evaluation(results, treatment, control, metric)
    said = ", ".join(f"{mean:+.3f} [{low:+.3f}, {high:+.3f}] at step {step}" for step, mean, low, high in points)
    return f"{treatment} - {control}, {metric}: {said or 'no evaluation at a step of all runs'}"
