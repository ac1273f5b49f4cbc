"""The scores of a fine-tuned model beside the baselines' scores, and a line for each prediction."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runs import pictures
from experiments.runs.finetuning.materials import Materials
from gpt_jax.config import RunConfig
from gpt_jax.data.tasks import Example, LabelledTask
from gpt_jax.disk import write_atomically
from gpt_jax.finetuning.bag_of_words import BagOfWords, majority
from gpt_jax.finetuning.classifier import Classifier
from gpt_jax.finetuning.fit import drawn, labels_of, validated
from gpt_jax.finetuning.label_metrics import score
from gpt_jax.finetuning.shifts import shifts

PREDICTIONS = "predictions.jsonl"
TRAINING_EXAMPLES = 1000  # of those trained on, how many are scored
Metrics = dict[str, Any]


def measure(model: Classifier, config: RunConfig, materials: Materials, folder: Path) -> Metrics:
    """Scores model and baselines on each split, and writes the predictions and their picture."""
    task, splits = model.task, drawn(config, materials.splits)
    train = splits["train"]
    splits["train"] = train[:TRAINING_EXAMPLES]
    words = BagOfWords(task).fit(train)
    metrics: Metrics = {}
    lines, probabilities = [], {}
    for split, examples in splits.items():
        figures, found = validated(model, model.encode(examples))
        for name, value in figures.items():
            metrics[f"{split}/{name}"] = _finite(value)
        labelled = [example for example in examples if example.label is not None]
        if labelled and split != "train":
            baselines = {"majority": majority(task, train, labelled), "bag_of_words": words.predict(labelled)}
            for name, theirs in baselines.items():
                metrics[f"{name}/{split}/{task.metric}"] = _finite(_score(task, theirs, labelled))
        if examples and split != "train":
            probabilities[split] = found
            lines += [prediction(task, split, e, row) for e, row in zip(examples, found, strict=True)]
            if labelled:
                _picture(task, examples, found, folder / f"{split}.png")
    write_atomically(folder / PREDICTIONS, "".join(json.dumps(line) + "\n" for line in lines))
    return {**metrics, **shifts(task, metrics, probabilities)}


def prediction(task: LabelledTask, split: str, example: Example, found: Any) -> dict[str, Any]:
    """A line of `predictions.jsonl`: labels by name, answers by number from 0, probabilities or a value."""
    line = {"split": split, "id": example.id, "group": example.group, "label": named(task, example.label)}
    if task.regression:
        return {**line, "prediction": float(found)}
    answers = len(example.texts) - 2 if task.shape == "multiple_choice" else len(task.labels)
    probabilities = [round(float(p), 6) for p in found[:answers]]
    return {**line, "prediction": named(task, int(np.argmax(found))), "probabilities": probabilities}


def named(task: LabelledTask, label: int | float | None) -> Any:
    """A label as people read it."""
    return label if label is None or not task.labels else task.labels[int(label)]


def _score(task: LabelledTask, found: np.ndarray, examples: Sequence[Example]) -> float:
    return score(task.metric, labels_of(found), np.asarray([example.label for example in examples]))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _picture(task: LabelledTask, examples: Sequence[Example], found: np.ndarray, path: Path) -> None:
    pairs = [(e.label, row) for e, row in zip(examples, labels_of(found), strict=True) if e.label is not None]
    labels, predicted = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    if task.regression:
        pictures.scatter(labels, predicted, path.with_name(f"scatter-{path.name}"))
    else:
        names = task.labels or tuple(map(str, range(found.shape[1])))
        pictures.confusion(labels, predicted, names, path.with_name(f"confusion-{path.name}"))
