"""Fine-tuning as a run does it: a task and weights in, and in one folder the classifier and what it predicts.

A run that was stopped starts again from its beginning: it takes minutes, and is the same again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.runs import finetuning_pictures as pictures
from experiments.corpora import grammar
from experiments.runs.screen import Screen
from experiments.runs.session import Interrupted
from experiments.runs.weights import load_model
from gpt_jax.config import RunConfig
from gpt_jax.disk import digest_of, write_atomically
from gpt_jax.data.tasks import Example, LabelledTask, load_task
from gpt_jax.data.tokenizers import Tokenizer, load_tokenizer, make_tokenizer
from gpt_jax.errors import InputError, TrainingDiverged
from gpt_jax.data.pairs import shifted
from gpt_jax.data.public_files import Files
from gpt_jax.finetuning.label_metrics import score
from gpt_jax.finetuning.shifts import shifts
from gpt_jax.finetuning import classifier
from gpt_jax.finetuning.classifier import Classifier
from gpt_jax.finetuning.fit import drawn, fit, labels_of, validated
from gpt_jax.finetuning.bag_of_words import BagOfWords, majority
from gpt_jax.model.layers_layout import unstack_layers
from gpt_jax.training.metrics_log import MetricsLog

WEIGHTS, TASK, PREDICTIONS = "finetuned.safetensors", "task.json", "predictions.jsonl"
TASK_FIELDS = ("name", "shape", "labels", "metric", "regression")  # what a classifier needs of its task
TRAINING_EXAMPLES = 1000  # of those trained on, how many are scored
# What the shape of the weights depends on; the rest of a model's config may differ from the pre-trained one's.
SHAPE = (
    "architecture", "vocab_size", "context_length", "n_layer", "n_head", "d_model", "head_width", "mlp_width", "norm",
    "layer_norm_epsilon", "attention", "tie_embeddings",
)  # fmt: skip
Metrics = dict[str, Any]


class Stopped(Interrupted):
    """The run was asked to stop."""

    def __init__(self, update: int):
        Exception.__init__(self, f"stopped at update {update:,}: fine-tuning keeps no checkpoints and starts again")
        self.step = update


@dataclass(frozen=True)
class Materials:
    """What fine-tuning starts from."""

    task: LabelledTask
    splits: Mapping[str, Sequence[Example]]
    tokenizer: Tokenizer
    pretrained: Any  # the language model's parameters, blocks unrolled; None: from scratch
    digest: str  # of the examples


@lru_cache(maxsize=4)
def read_task(name: str, data_dir: Path | None) -> tuple[LabelledTask, dict[str, list[Example]], str]:
    """A task, its examples by split, and their digest."""
    if name == grammar.NAME:
        task, splits = grammar.load()
    elif name in shifted.pair_names():
        task, splits = shifted.load_pair(name, Files(data_dir))
    else:
        task, splits = load_task(name, data_dir)
    rows = {split: [[*e.texts, e.label, e.group] for e in examples] for split, examples in splits.items()}
    return task, splits, digest_of([task.name, task.shape, list(task.labels), rows])


_load = lru_cache(maxsize=2)(load_model)  # one sweep reads its weights once


def gather(config: RunConfig, data_dir: Path | None) -> Materials:
    """Reads the task and the weights that `config.finetuning` names. Raises `InputError`.

    From scratch, the tokenizer is data.tokenizer, trained if need be on the training texts.
    """
    settings = config.finetuning
    assert settings.task is not None
    task, splits, digest = read_task(settings.task, data_dir)
    if settings.weights is None:
        texts = lambda: (text for example in splits["train"] for text in example.texts)  # noqa: E731
        tokenizer = make_tokenizer(config.data.tokenizer, config.model.vocab_size, texts)
        return Materials(task, splits, tokenizer, None, digest)
    model = _load(Path(settings.weights))
    for name in SHAPE:
        theirs, ours = (getattr(m, name) for m in (model.config, config.model))
        if theirs != ours:
            raise InputError(f"finetuning.weights: {settings.weights} has {name} {theirs!r}, not {ours!r}")
    return Materials(task, splits, model.tokenizer, unstack_layers(model.config, model.params), digest)


def finetune(
    config: RunConfig, materials: Materials, folder: Path, screen: Screen, should_stop: Callable[[], bool],
    divergence_is_outcome: bool,
) -> Metrics:  # fmt: skip
    """Fine-tunes, writes the folder's files and returns the run's metrics. Raises `Stopped` and `TrainingDiverged`.

    Metrics are the task's, by split, of the best epoch's model ("test/accuracy"), of the majority's label and of
    bag-of-words on the same examples ("bag_of_words/test/accuracy"), and "loss", the mean L2 (nats) without dropout.
    A pair of distributions (data/pairs/shifted.py) has more: see its `shifts`.
    """
    started, task = time.perf_counter(), materials.task
    log = MetricsLog(folder / "metrics.jsonl")
    seen, updates = [0], _updates(config, len(materials.splits["train"]))

    def on_update(update: int, measured: Mapping[str, float]) -> None:
        seen.append(seen[-1] + int(measured["tokens"]))
        losses = {"train/loss": measured["supervised_loss"], "train/objective": measured["loss"]}
        if "auxiliary_loss" in measured:
            losses["train/auxiliary_loss"] = measured["auxiliary_loss"]
        rest = {"gradient_norm": measured["gradient_norm"], "learning_rate": measured["rate"]}
        log.write(update, seen[-1], {**losses, **rest})
        advance("fine-tuning", update, updates)
        if should_stop():
            raise Stopped(update)

    def on_epoch(update: int, measured: Mapping[str, float]) -> None:
        log.write(update, seen[-1], {f"validation/{name}": value for name, value in measured.items()})
        shown = ", ".join(f"{name} {value:.4f}" for name, value in measured.items())
        screen.say(f"update {update:,} of {updates:,}: validation {shown}")

    screen.table("this run", describe(config, materials))
    try:
        with screen.stages() as advance:
            model = fit(
                config, task, materials.splits, materials.tokenizer, materials.pretrained, on_update, on_epoch
            )  # fmt: skip
    except TrainingDiverged as diverged:
        if not divergence_is_outcome:
            raise
        screen.warn(f"diverged: {diverged}")
        return {"diverged": 1.0, "diverged_at_step": diverged.step, "tokens": seen[-1]}
    finally:
        log.close()
    with screen.waiting("measuring, and fitting bag-of-words"):
        metrics = measure(model, config, materials, folder)
    save(model, materials.tokenizer, folder)
    trained, everything = (sum(leaf.size for leaf in jax.tree.leaves(t)) for t in (model.trained, model.frozen))
    return {
        "diverged": 0.0, **metrics, "updates": len(seen) - 1, "tokens": seen[-1], "parameters": trained + everything,
        "trained_parameters": trained, "time/seconds": time.perf_counter() - started,
    }  # fmt: skip


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
    """A label as people see it."""
    return label if label is None or not task.labels else task.labels[int(label)]


def save(model: Classifier, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes what `restore` reads: parameters, tokenizer and task."""
    tokenizer.save(folder / "tokenizer")
    model.save(folder / WEIGHTS)
    values = {name: getattr(model.task, name) for name in TASK_FIELDS}
    write_atomically(folder / TASK, json.dumps(values, indent=2) + "\n")


def restore(folder: Path) -> Classifier:
    """The classifier in a run folder. Raises `InputError`."""
    from experiments.runs.runner import read_folder

    if not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder} holds no classifier ({WEIGHTS}): `python -m experiments finetune` makes one")
    config, _ = read_folder(folder)
    try:
        values = json.loads((folder / TASK).read_text(encoding="utf-8"))
        fields: dict[str, Any] = {
            name: tuple(values[name]) if isinstance(values[name], list) else values[name] for name in TASK_FIELDS
        }
        task = LabelledTask(**fields)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{folder / TASK} is damaged: {error}: the file that fine-tuning wrote is allowed") from None
    return classifier.load(folder / WEIGHTS, task, config, load_tokenizer(folder / "tokenizer"))


def describe(config: RunConfig, materials: Materials) -> dict[str, str]:
    """What the run will do, for people."""
    settings, task, splits = config.finetuning, materials.task, materials.splits
    count = len(splits["train"])
    start = "scratch" if materials.pretrained is None or settings.transfer_layers == -1 else str(settings.weights)
    if start != "scratch" and settings.transfer_layers is not None:
        start += f", the embeddings and {settings.transfer_layers} of {config.model.n_layer} blocks"
    sizes = ", ".join(f"{len(examples):,} {split}" for split, examples in splits.items())
    return {
        "task": f"{task.name}: {task.shape.replace('_', ' ')}, by {task.metric}",
        "examples": f"{sizes}; trained on {min(settings.examples or count, count):,}",
        "from": start,
        "trains": settings.trainable,
        "updates": f"{_updates(config, count):,} of {settings.batch_size} examples",
        "objective": f"L2 + {settings.auxiliary_weight:g} L1",
    }


def summary(metrics: Metrics, folder: Path) -> dict[str, str]:
    """What a finished run came to."""
    if metrics["diverged"]:
        return {"outcome": f"diverged at update {metrics['diverged_at_step']:,}", "folder": str(folder)}
    splits = ("train/", "validation/", "test/", "ood", "gap/", "majority/", "bag_of_words/")
    shown = {key: f"{value:.4f}" for key, value in metrics.items() if key.startswith(splits) and value is not None}
    return {
        **shown, "predictions": str(folder / PREDICTIONS),
        "classify": f"python -m experiments classify {folder} --text TEXT",
    }  # fmt: skip


def _updates(config: RunConfig, examples: int) -> int:
    settings = config.finetuning
    examples = min(settings.examples or examples, examples)
    return settings.epochs * (examples // min(settings.batch_size, max(examples, 1)))


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
