"""Comparisons as data, for other programs."""

from __future__ import annotations

import math
from typing import Any

from experiments.verdicts.judge import Judged, judge_all
from experiments.verdicts.noise import noise_floors
from experiments.verdicts.sources import Runs


def comparisons(runs: Runs) -> list[dict[str, Any]]:
    """Every comparison of the runs of one report. `read` says where they were read, and `noise` is the standard
    deviation of a difference that the seeds alone make."""
    of = {"claim": runs.experiment.name, "scale": runs.scale, "read": str(runs.where)}
    noise = {floor.metric: floor.sd for floor in noise_floors(runs.results, runs.experiment)}
    judged = judge_all(runs.results, runs.experiment)
    return [{**of, **as_object(one), "noise": noise.get(one.comparison.metric)} for one in judged]


def as_object(judged: Judged) -> dict[str, Any]:
    """One comparison; null stands for a number that is not there. `stated` is in words, `expected` its direction."""
    c, interval = judged.comparison, judged.interval
    return {
        "name": c.title,
        "primary": c.primary,
        "metric": c.metric,
        "stated": c.stated,
        "expected": c.expected,
        "margin": c.margin,
        "n": judged.n,
        "estimate": _number(interval.estimate if interval else math.nan),
        "low": _number(interval.low if interval else math.nan),
        "high": _number(interval.high if interval else math.nan),
        "verdict": judged.verdict,
        "treatment": judged.treatment,
        "control": judged.control,
        "p": _number(judged.p),
        "holm": _number(judged.holm),
        "pairs_needed": judged.needed,
        "notes": list(judged.notes),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
