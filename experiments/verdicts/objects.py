"""Comparisons as data, for other programs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from experiments.experiment import Experiment
from experiments.runs.results import read_results
from experiments.verdicts.judge import Judged, judge_all
from gpt_jax.errors import InputError


def comparisons(experiment: Experiment, folder: Path) -> list[dict[str, Any]]:
    """Every comparison of the finished runs in `folder` (DIR/EXPERIMENT). Raises `InputError` where there are none."""
    results = read_results(folder, experiment)
    if not results:
        raise InputError(f"{folder}: no finished run (result.json): nothing to report on {experiment.name}")
    return [
        {"claim": experiment.name, "scale": results[0].scale, **as_object(j)} for j in judge_all(results, experiment)
    ]


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
        "p_holm": _number(judged.holm),
        "pairs_needed": judged.needed,
        "notes": list(judged.notes),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
