"""The classifier in a run folder: written at the end of a fine-tuning, and read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from experiments.runs.folder import read_folder
from gpt_jax.data.tasks import LabelledTask
from gpt_jax.data.tokenizers import Tokenizer, load_tokenizer
from gpt_jax.disk import move_whole, read_json, write_atomically
from gpt_jax.errors import InputError
from gpt_jax.finetuning import classifier
from gpt_jax.finetuning.classifier import Classifier

WEIGHTS, TASK = "finetuned.safetensors", "task.json"
TASK_FIELDS = ("name", "shape", "labels", "metric", "regression")  # what a classifier needs of its task


def save(model: Classifier, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes what `restore` reads: parameters, tokenizer and task."""
    tokenizer.save(folder / "tokenizer")
    partial = folder / f".{WEIGHTS}.partial"
    model.save(partial)
    move_whole(partial, folder / WEIGHTS)
    values = {name: getattr(model.task, name) for name in TASK_FIELDS}
    write_atomically(folder / TASK, json.dumps(values, indent=2) + "\n")


def restore(folder: Path) -> Classifier:
    """The classifier in a run folder. Raises `InputError`."""
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder} holds no classifier ({WEIGHTS}): `python -m experiments finetune` makes one")
    config, _ = read_folder(folder)
    values = read_json(folder / TASK, dict)
    try:
        fields: dict[str, Any] = {
            name: tuple(values[name]) if isinstance(values[name], list) else values[name] for name in TASK_FIELDS
        }
        task = LabelledTask(**fields)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{folder / TASK} is damaged: {error}: the file that fine-tuning wrote is allowed") from None
    return classifier.load(folder / WEIGHTS, task, config, load_tokenizer(folder / "tokenizer"))
