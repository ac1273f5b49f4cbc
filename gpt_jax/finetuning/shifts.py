"""How much a fine-tuned model loses out of distribution, and whether its probabilities show it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gpt_jax.data.pairs.shifted import OOD
from gpt_jax.data.tasks import LabelledTask
from gpt_jax.finetuning.label_metrics import anomaly, auroc, far95


def gaps(iid: float, ood: float) -> tuple[float, float]:
    """The losses out of distribution, in the metric's unit and as parts of the IID score (nan where that is 0)."""
    return iid - ood, (iid - ood) / iid if iid else float("nan")


def shifts(task: LabelledTask, metrics: Mapping[str, Any], probabilities: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What is lost on each OOD split, and on the mean of them ("ood"): "gap/NAME" in the metric's unit and
    "relative_gap/NAME", the model's and bag-of-words'; and how well the largest probability tells it from the IID test
    set: "detection/NAME/auroc" and ".../far95" (Hendrycks et al. 2020, section 4)."""
    names = [split for split in probabilities if split.startswith(OOD)]
    found: dict[str, Any] = {}
    for who in ("", "bag_of_words/") if names else ():
        iid = metrics[f"{who}test/{task.metric}"]
        scores = {name: metrics[f"{who}{name}/{task.metric}"] for name in names}
        known = [value for value in scores.values() if value is not None]
        mean = sum(known) / len(known) if len(known) == len(names) else None
        found[f"{who}ood/{task.metric}"] = mean
        for name, value in {"ood": mean, **scores}.items():
            lost = (None, None) if iid is None or value is None else gaps(iid, value)
            for kind, gap in zip(("gap", "relative_gap"), lost, strict=True):
                found[f"{who}{kind}/{name.removeprefix(OOD)}"] = gap if gap is None or math.isfinite(gap) else None
    if not task.regression:
        for name in names:
            inside, outside = anomaly(probabilities["test"]), anomaly(probabilities[name])
            place = f"detection/{name.removeprefix(OOD)}"
            found |= {f"{place}/auroc": auroc(inside, outside), f"{place}/far95": far95(inside, outside)}
    return found
