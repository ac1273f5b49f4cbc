"""Labelled data: a task is one declaration here, and its examples come from TFDS or from a local folder.

`load_task("sst2", None)` reads TFDS. `load_task("sst2", folder)` reads the files of the original distribution in
`folder/sst2` or `folder` (task_readers.py), or the documented form of a user's own task (task_folder.py,
docs/TASKS.md); `load_task("path/to/folder", None)` reads that form, whatever the task is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gpt_jax.errors import InputError, unknown

Shape = Literal["classification", "entailment", "similarity", "multiple_choice"]
Metric = Literal["accuracy", "matthews", "pearson", "spearman", "f1"]
HELD_OUT = 0.1  # of the training examples, where a task has no validation split


@dataclass(frozen=True)
class Example:
    """`texts` by shape: (text,); (premise, hypothesis); (a, b); (context, question, answer 1, ..., answer K), where
    the question may be "". `label` is a class's index, the right answer's index, or a score; None: unlabelled."""

    texts: tuple[str, ...]
    label: int | float | None
    id: str = ""
    group: str = ""  # genre, domain or source, where the data says


Splits = dict[str, list[Example]]


@dataclass(frozen=True)
class Tfds:
    """Where TFDS has a task: the dataset, and the features that are its texts."""

    name: str
    texts: tuple[str, ...]
    label: str = "label"
    id: str = "idx"


@dataclass(frozen=True)
class Task:
    """What is predicted from what. `labels` are the classes' names, in order; () for scores and answers.

    `regression` is the range of a score. Early stopping, and a report, go by `metric` (evaluation/scores.py).
    """

    name: str
    shape: Shape
    labels: tuple[str, ...] = ()
    metric: Metric = "accuracy"
    regression: tuple[float, float] | None = None
    tfds: Tfds | None = None
    reader: str = ""  # the function of task_readers.py, where it is not the task's name
    folder: str = ""  # of the original distribution, where it is not the task's name

    def __post_init__(self):
        if self.shape not in ("classification", "entailment", "similarity", "multiple_choice"):
            shapes = ("classification", "entailment", "similarity", "multiple_choice")
            raise unknown("shape", str(self.shape), shapes)
        if self.metric not in ("accuracy", "matthews", "pearson", "spearman", "f1"):
            raise unknown("metric", str(self.metric), ("accuracy", "matthews", "pearson", "spearman", "f1"))


ENTAILED = ("entailment", "not_entailment")
NO_YES = ("no", "yes")
TASKS = (
    Task("sst2", "classification", ("negative", "positive"), tfds=Tfds("glue/sst2", ("sentence",))),
    Task("cola", "classification", ("unacceptable", "acceptable"), "matthews", tfds=Tfds("glue/cola", ("sentence",))),
    Task(
        "trec", "classification",
        ("description", "entity", "abbreviation", "human", "location", "number"),
        tfds=Tfds("trec", ("text",), "label-coarse"),
    ),
    Task("rte", "entailment", ENTAILED, tfds=Tfds("glue/rte", ("sentence1", "sentence2"))),
    Task("qnli", "entailment", ENTAILED, tfds=Tfds("glue/qnli", ("question", "sentence"))),
    Task(
        "mnli", "entailment", ("entailment", "neutral", "contradiction"),
        tfds=Tfds("glue/mnli", ("premise", "hypothesis")),
    ),
    Task("sick", "entailment", ("neutral", "entailment", "contradiction")),
    Task("boolq", "entailment", NO_YES, tfds=Tfds("bool_q", ("passage", "question"), "answer")),
    Task("sick_relatedness", "similarity", metric="pearson", regression=(1, 5), folder="sick"),
    Task(
        "stsb", "similarity", metric="pearson", regression=(0, 5), tfds=Tfds("glue/stsb", ("sentence1", "sentence2"))
    ),
    Task("pan", "similarity", NO_YES),
    Task("mrpc", "similarity", NO_YES, "f1", tfds=Tfds("glue/mrpc", ("sentence1", "sentence2"))),
    Task("qqp", "similarity", NO_YES, "f1", tfds=Tfds("glue/qqp", ("question1", "question2"))),
    Task("copa", "multiple_choice", tfds=Tfds("super_glue/copa", ("premise", "question", "choice1", "choice2"))),
    Task("openbookqa", "multiple_choice"),
    Task("mctest160", "multiple_choice", folder="mctest"),
    Task("mctest500", "multiple_choice", folder="mctest"),
)  # fmt: skip


def task_names() -> tuple[str, ...]:
    """Every declared task."""
    return tuple(task.name for task in TASKS)


def get_task(name: str) -> Task:
    """The task called `name`. Raises `InputError` with the nearest name."""
    found = next((task for task in TASKS if task.name == name), None)
    if found is None:
        raise unknown("task", name, task_names())
    return found


def load_task(name: str, data_dir: Path | None = None) -> tuple[Task, Splits]:
    """A task and its splits "train", "validation" and, where there is one, "test".

    `name` is a declared task, or the path of a folder in the documented form. A tenth of the training examples, by a
    hash of their text, is held out where there is no validation split. Raises `InputError`: unknown task, missing
    folder, or a malformed row, named by file and line.
    """
    from gpt_jax.data import task_folder, task_readers

    if name not in task_names() and Path(name).is_dir():
        task, splits = task_folder.read(Path(name))
        return task, _held_out(task, splits)
    own = None if data_dir is None else next((p for p in (Path(data_dir) / name, Path(data_dir)) if _is_own(p)), None)
    if own is not None and (name not in task_names() or not _is_original(own, name)):
        task, splits = task_folder.read(own)
        return task, _held_out(task, splits)
    task = get_task(name)
    if data_dir is None:
        task, splits = _from_tfds(task)
        return task, _held_out(task, splits)
    place = Path(data_dir) / (task.folder or task.name)
    place = place if place.is_dir() else Path(data_dir)
    if not place.is_dir():
        raise InputError(f"--data-dir: {str(data_dir)!r} is not a folder")
    read: Callable[[Path], Splits] | None = getattr(task_readers, task.reader or task.name, None)
    if read is None:
        raise InputError(
            f"task: {name!r} has no reader for local files: TFDS, or the form of docs/TASKS.md, is allowed"
        )
    try:
        return task, _held_out(task, read(place))
    except FileNotFoundError as error:
        raise InputError(f"task: {name!r}: {error.filename}: no such file below --data-dir") from None


def _is_own(folder: Path) -> bool:
    """Whether a folder is in the documented form."""
    from gpt_jax.data import task_folder

    return task_folder.is_one(folder)


def _is_original(folder: Path, name: str) -> bool:
    """SST-2's and RTE's own files are called train.tsv too; their headers tell."""
    from gpt_jax.data import task_folder

    return not (folder / "task.json").exists() and not task_folder.has_our_columns(folder)


def _held_out(task: Task, splits: Splits) -> Splits:
    if not splits.get("train"):
        raise InputError(f"task: {task.name!r} has no training examples")
    if not splits.get("validation") and len(splits["train"]) > 1:
        limit = int(HELD_OUT * 2**32)
        held = [int(hashlib.sha256("\0".join(e.texts).encode()).hexdigest()[:8], 16) < limit for e in splits["train"]]
        if len(set(held)) == 1:  # a handful of examples: the last one is held out
            held = [False] * (len(held) - 1) + [True]
        parts = {True: "validation", False: "train"}
        train = splits["train"]
        splits = {
            **splits,
            **{name: [e for e, h in zip(train, held, strict=True) if h == out] for out, name in parts.items()},
        }
    return {name: splits[name] for name in ("train", "validation", "test") if splits.get(name)} | {
        name: examples for name, examples in splits.items() if name not in ("train", "validation", "test") and examples
    }


def _from_tfds(task: Task) -> tuple[Task, Splits]:
    """The splits as TFDS names them; "validation_matched" counts as validation. A label of -1 is none. The classes'
    names are TFDS's."""
    if task.tfds is None:
        raise InputError(f"task: {task.name!r} is not in TFDS: give --data-dir, with its original files")
    from gpt_jax.data.tfds_source import builder_of

    builder = builder_of(task.tfds.name)
    names = {"validation_matched": "validation", "test_matched": "test"}
    splits: Splits = {}
    for split in builder.info.splits:
        rows = builder.as_data_source(split=split)
        splits[names.get(str(split), str(split))] = [_tfds_example(task, rows[i], i) for i in range(len(rows))]
    classes = getattr((builder.info.features or {})[task.tfds.label], "names", None)
    return (replace(task, labels=tuple(classes)) if classes and task.labels else task), splits


def _tfds_example(task: Task, row: Any, index: int) -> Example:
    assert task.tfds is not None
    texts = tuple(row[name].decode() if isinstance(row[name], bytes) else str(row[name]) for name in task.tfds.texts)
    if task.name == "copa":
        texts = (texts[0], CONNECTIVES[texts[1]], *texts[2:])
    label = row[task.tfds.label]
    label = float(label) if task.regression else int(label)
    return Example(texts, None if label == -1 else label, str(row.get(task.tfds.id, index)))


# COPA asks for the cause or the effect of its premise: as text, what joins the two.
CONNECTIVES = {"cause": "because", "effect": "so"}
