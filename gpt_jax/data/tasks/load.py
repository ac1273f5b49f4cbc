"""A task and its splits, from wherever they are: TFDS, the original files, or a folder of one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from gpt_jax.data.public_files import public_root
from gpt_jax.data.tasks import folder as folders
from gpt_jax.data.tasks import plays, readers
from gpt_jax.data.tasks.declared import get_task, task_names
from gpt_jax.data.tasks.task import Example, LabelledTask, Splits
from gpt_jax.errors import InputError

HELD_OUT = 0.1  # of the training examples, where a task has no validation split


def load_task(name: str, data_dir: Path | None = None) -> tuple[LabelledTask, Splits]:
    """A task and its splits "train", "validation" and, where there is one, "test".

    `name` is a declared task, or the path of a folder in the documented form. Without `data_dir`, a declared task is
    read from `public_root()` if it was fetched, and else from TFDS. A tenth of the training examples, by a
    hash of their text, is held out where there is no validation split. Raises `InputError`: unknown task, missing
    folder, or a malformed row, named by file and line.
    """
    if name not in task_names() and Path(name).is_dir():
        task, splits = folders.read(Path(name))
        return task, _held_out(task, splits)
    own = None if data_dir is None else next((p for p in (Path(data_dir) / name, Path(data_dir)) if _is_own(p)), None)
    if own is not None and (name not in task_names() or not _is_original(own, name)):
        task, splits = folders.read(own)
        return task, _held_out(task, splits)
    task = get_task(name)
    if name in plays.BUILDERS:
        return task, plays.BUILDERS[name]()
    if data_dir is None and (public_root() / (task.folder or task.name)).is_dir():
        data_dir = public_root()  # it was fetched
    if data_dir is None:
        from gpt_jax.data.tasks.tfds import from_tfds  # starts TFDS

        task, splits = from_tfds(task)
        return task, _held_out(task, splits)
    place = Path(data_dir) / (task.folder or task.name)
    place = place if place.is_dir() else Path(data_dir)
    if not place.is_dir():
        raise InputError(f"--data-dir: {str(data_dir)!r} is not a folder")
    read: Callable[[Path], Splits] | None = getattr(readers, task.reader or task.name, None)
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
    return folders.is_one(folder)


def _is_original(folder: Path, name: str) -> bool:
    """SST-2's and RTE's own files are called train.tsv too; their headers tell."""
    return not (folder / "task.json").exists() and not folders.has_our_columns(folder)


def _hash(example: Example) -> int:
    """Below 2**32; white space at the ends of texts, as a carriage return is, does not change it: copies stay
    together."""
    texts = "\0".join(text.strip() for text in example.texts)
    return int(hashlib.sha256(texts.encode()).hexdigest()[:8], 16)


def _held_out(task: LabelledTask, splits: Splits) -> Splits:
    if not splits.get("train"):
        raise InputError(f"task: {task.name!r} has no training examples")
    if not splits.get("validation") and len(splits["train"]) > 1:
        held = [_hash(example) < HELD_OUT * 2**32 for example in splits["train"]]
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
