"""Each layer's gradient as a part of the last one's, arm by arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.runs.results import Result


def findings(results: Sequence[Result], metrics: Mapping[str, str]) -> list[str]:
    """A line for each arm and each of `metrics` (title -> the list of a run's norms, first layer first): the norms over
    the last layer's, as geometric means over the seeds. Runs that measured none are left out."""
    lines = []
    for title, metric in metrics.items():
        for arm in dict.fromkeys(result.arm for result in results):
            norms = [result.metrics[metric] for result in results if result.arm == arm and metric in result.metrics]
            if norms:
                parts = np.exp(np.mean([np.log(np.array(n) / n[-1]) for n in norms], axis=0))
                text = ", ".join(f"{part:.2f}" for part in parts)
                lines.append(f"{arm}, {title}: the layers' gradients are {text} of the last one's (n = {len(norms)})")
    return lines
