"""Two models compared where they are equally good at something else: between checkpoints, at the same loss.

A gap between two distributions grows with what a model has learned of the first one. So two models are compared at one
loss there, the worse of their last ones: each one's other loss is read off the line between its two checkpoints on both
sides of it. The differences are paired by seed, and the interval is Student's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.runs.results import Result
from experiments.verdicts.statistics import t_interval
from gpt_jax.errors import InputError


def line(results: Sequence[Result], ours: str, theirs: str, matched: str, compared: str, unit: str) -> str:
    """The difference of `compared` at equal `matched`, two metrics that are lists over checkpoints, as a line of text.

    Raises `InputError` where fewer than two seeds have both arms.
    """
    curves = {(r.arm, r.seed): (r.metrics.get(matched), r.metrics.get(compared)) for r in results if not r.failure}
    whole = {key: (x, y) for key, (x, y) in curves.items() if isinstance(x, list) and isinstance(y, list)}
    seeds = sorted({seed for arm, seed in whole if arm == ours and (theirs, seed) in whole})
    if len(seeds) < 2:
        raise InputError(f"{ours} and {theirs}: {len(seeds)} seeds have both: at least 2 are needed")
    levels = [max(whole[ours, seed][0][-1], whole[theirs, seed][0][-1]) for seed in seeds]
    differences = [
        at(level, *whole[ours, seed]) - at(level, *whole[theirs, seed])
        for level, seed in zip(levels, seeds, strict=True)
    ]
    mean, low, high = t_interval(differences)
    return (
        f"{compared} of {ours} less {theirs} where {matched} is equal ({np.mean(levels):.3f} {unit} in the mean): "
        f"{mean:+.3f} [{low:+.3f}, {high:+.3f}] {unit}, over {len(seeds)} seeds"
    )


def at(level: float, matched: Sequence[float], compared: Sequence[float]) -> float:
    """`compared` where `matched` is at `level`, on straight lines between checkpoints."""
    order = np.argsort(matched)
    return float(np.interp(level, np.asarray(matched)[order], np.asarray(compared)[order]))
