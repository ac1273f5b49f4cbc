"""Each layer's gradient as a part of the last one's, arm by arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.runs.results import Result


def findings(results: Sequence[Result], metrics: Mapping[str, str]) -> list[str]:
    """A line for each arm and each of `metrics` (title -> the list of a run's norms, first layer first): the norms over
    the last layer's, as geometric means over the seeds. Arms of equal norms share a line, and runs that measured none
    are left out."""
    lines = []
    for title, metric in metrics.items():
        arms: dict[str, list[str]] = {}  # by what is said of them: at the start, arms of two rates are one model
        for arm in dict.fromkeys(result.arm for result in results):
            norms = [result.metrics[metric] for result in results if result.arm == arm and metric in result.metrics]
            if norms:
                parts = np.exp(np.mean([np.log(np.array(n) / n[-1]) for n in norms], axis=0))
                text = f"{', '.join(f'{part:.2f}' for part in parts)} of the last one's (n = {len(norms)})"
                arms.setdefault(text, []).append(arm)
        lines += [f"{' and '.join(alike)}, {title}: the layers' gradients are {text}" for text, alike in arms.items()]
    return lines
