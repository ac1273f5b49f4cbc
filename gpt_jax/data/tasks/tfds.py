"""A task's examples from TFDS."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gpt_jax.data.tasks.task import CONNECTIVES, Example, LabelledTask, Splits
from gpt_jax.data.tfds_source import builder_of
from gpt_jax.errors import InputError


def from_tfds(task: LabelledTask) -> tuple[LabelledTask, Splits]:
    """The splits as TFDS names them; "validation_matched" counts as validation. A label of -1 is none. The classes'
    names are TFDS's."""
    if task.tfds is None:
        raise InputError(
            f"task: {task.name!r} is not in TFDS: give --data-dir with its original files, or fetch them: "
            f"python -m experiments data get {task.folder or task.name}"
        )
    builder = builder_of(task.tfds.name)
    names = {"validation_matched": "validation", "test_matched": "test"}
    splits: Splits = {}
    for split in builder.info.splits:
        rows = builder.as_data_source(split=split)
        splits[names.get(str(split), str(split))] = [_tfds_example(task, rows[i], i) for i in range(len(rows))]
    classes = getattr((builder.info.features or {})[task.tfds.label], "names", None)
    return (replace(task, labels=tuple(classes)) if classes and task.labels else task), splits


def _tfds_example(task: LabelledTask, row: Any, index: int) -> Example:
    assert task.tfds is not None
    texts = tuple(row[name].decode() if isinstance(row[name], bytes) else str(row[name]) for name in task.tfds.texts)
    if task.name == "copa":
        texts = (texts[0], CONNECTIVES[texts[1]], *texts[2:])
    label = row[task.tfds.label]
    label = float(label) if task.regression else int(label)
    return Example(texts, None if label == -1 else label, str(row.get(task.tfds.id, index)))
