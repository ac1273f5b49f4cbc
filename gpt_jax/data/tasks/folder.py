"""A user's own task: a folder of .tsv or .jsonl files, one per split, and, if need be, a task.json (docs/TASKS.md).

    train.tsv  validation.tsv  test.tsv        with a header, or .jsonl with the same keys

| columns | shape |
|---|---|
| text, label | classification |
| premise, hypothesis, label | entailment |
| text_a, text_b, label | similarity (numbers: a score) |
| context, question, answer_1, answer_2, ..., label | multiple choice; the label is the right answer's number, from 1 |

`id` and `group` may be there too. In .jsonl, multiple choice has "answers": [...]. The label may be empty or missing,
except in train. Fields are taken as they are, without quotes and escapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gpt_jax.data.tasks.task import Example, LabelledTask, Splits
from gpt_jax.disk import read_json, read_jsonl, read_utf8
from gpt_jax.errors import InputError, unknown

MARK = "\ufeff"  # a byte-order mark: at the start of any line where files were joined
SPLITS = ("train", "validation", "test")
COLUMNS = {
    "classification": ("text",),
    "entailment": ("premise", "hypothesis"),
    "similarity": ("text_a", "text_b"),
    "multiple_choice": ("context", "question"),
}
Row = tuple[str, dict[str, Any]]


def is_one(folder: Path) -> bool:
    """Whether there is a training file in this form, by its name."""
    return _file(folder, "train") is not None


def has_our_columns(folder: Path) -> bool:
    """Whether the training file's first row has the columns of a shape."""
    path = _file(folder, "train")
    first = next(_rows(path), None) if path is not None else None
    return first is not None and any(set(columns) <= set(first[1]) for columns in COLUMNS.values())


def read(folder: Path) -> tuple[LabelledTask, Splits]:
    """The task that a folder describes, and its examples. Raises `InputError` that names file and line."""
    files = {split: path for split in SPLITS if (path := _file(folder, split)) is not None}
    if "train" not in files:
        raise InputError(f"task: {str(folder)!r} has no train.tsv or train.jsonl")
    rows = {split: list(_rows(path)) for split, path in files.items()}
    if not rows["train"]:
        raise InputError(f"task: {str(files['train'])!r} has no rows")
    stated = _stated(folder / "task.json")
    shape = stated.get("shape") or _shape(*rows["train"][0])
    if shape not in COLUMNS:
        raise unknown(f"{folder / 'task.json'}: shape", str(shape), COLUMNS)
    task = _task(folder, shape, stated, rows["train"])
    splits = {split: [_example(task, *row, number) for number, row in enumerate(some)] for split, some in rows.items()}
    if not any(text.strip() for example in splits["train"] for text in example.texts):
        raise InputError(f"task: {str(files['train'])!r} has rows, and no text in any")
    unlabelled = next((w for (w, _), e in zip(rows["train"], splits["train"], strict=True) if e.label is None), None)
    if unlabelled:
        raise InputError(f"data: {unlabelled}: a training example has no label")
    return task, splits


def _file(folder: Path, split: str) -> Path | None:
    found = [path for suffix in (".tsv", ".jsonl") if (path := folder / f"{split}{suffix}").is_file()]
    if len(found) > 1:
        raise InputError(f"task: {found[0]} and {found[1]} are both there: one is allowed")
    return found[0] if found else None


def _rows(path: Path) -> Iterator[Row]:
    """ "file:line" and the fields of each row; empty lines are passed over."""
    if path.suffix == ".jsonl":
        yield from read_jsonl(path)
        return
    header: list[str] | None = None
    for number, line in enumerate(read_utf8(path).split("\n"), 1):
        line, where = line.lstrip(MARK).removesuffix("\r"), f"{path}:{number}"
        if not line.strip():
            continue
        if header is None:
            header = [name.strip() for name in line.split("\t")]
            if len(set(header)) < len(header):
                raise InputError(f"data: {where}: a column is named twice: {', '.join(header)}")
        else:
            values = line.split("\t")
            if len(values) != len(header):
                raise InputError(f"data: {where}: {len(values)} columns, expected {len(header)}: {', '.join(header)}")
            yield where, dict(zip(header, values, strict=True))


def _stated(path: Path) -> dict[str, Any]:
    """What task.json says."""
    if not path.exists():
        return {}
    stated = read_json(path, dict)
    for key, value in stated.items():
        if key not in STATED:
            raise unknown(f"{path}: key", key, STATED)
        allowed, fits = STATED[key]
        if value is not None and not fits(value):
            raise InputError(f"{path}: {key}: {value!r} is not allowed: {allowed}")
    return {key: value for key, value in stated.items() if value is not None}


def _are_names(value: Any) -> bool:
    plain = isinstance(value, list) and all(isinstance(v, str | int) and not isinstance(v, bool) for v in value)
    return plain and 0 < len(set(map(str, value))) == len(value)


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    return numbers and len(value) == 2 and all(map(math.isfinite, value)) and value[0] < value[1]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


STATED: dict[str, tuple[str, Callable[[Any], bool]]] = {  # the keys of task.json: what is allowed, and whether it is
    "shape": (f"one of {', '.join(COLUMNS)}", _is_text),
    "labels": ("a list of different names", _are_names),
    "metric": ("the name of a metric", _is_text),
    "regression": ("two numbers, the lower first", _is_range),
    "name": ("text", _is_text),
}


def _shape(where: str, row: dict[str, Any]) -> str:
    for shape, columns in COLUMNS.items():
        if set(columns) <= set(row):
            return shape
    expected = "; ".join(", ".join(columns) for columns in COLUMNS.values())
    raise InputError(f"data: {where}: columns {', '.join(row)} are not allowed: expected {expected}, and label")


def _task(folder: Path, shape: Any, stated: dict[str, Any], train: list[Row]) -> LabelledTask:
    values = [label_text(where, row) for where, row in train]
    score = stated.get("regression")
    if shape == "similarity" and score is None and "labels" not in stated and _fractional(values):
        for (where, _), value in zip(train, values, strict=True):
            if not math.isfinite(float(value)):
                raise InputError(f"data: {where}: label {value!r} is not allowed: a finite number, as the others are")
        score = (min(map(float, values)), max(map(float, values)))
        if score[0] == score[1]:
            raise InputError(f"{folder}: regression: every training label is {values[0]}: two or more are needed")
    if score is not None and shape == "multiple_choice":
        raise InputError(f"{folder / 'task.json'}: regression: not allowed with multiple_choice")
    labels = () if score is not None or shape == "multiple_choice" else tuple(stated.get("labels") or _ordered(values))
    labels = tuple(map(str, labels))
    metric = stated.get("metric") or ("pearson" if score is not None else "accuracy")
    if score is not None and metric in ("accuracy", "matthews", "f1"):
        raise InputError(f"{folder / 'task.json'}: metric: {metric!r} is not allowed: pearson or spearman, of scores")
    if metric == "f1" and len(labels) != 2:
        raise InputError(f"{folder / 'task.json'}: metric: 'f1' is not allowed: it takes two labels, not {len(labels)}")
    return LabelledTask(
        stated.get("name") or folder.resolve().name,
        shape,
        labels,
        metric,
        None if score is None else (score[0], score[1]),
    )


def _fractional(values: list[str]) -> bool:
    """Whether labels are scores: numbers, and more than two of them or a fraction among them."""
    try:
        numbers = {float(value) for value in values}
    except ValueError:
        return False
    return len(numbers) > 2 or any(not n.is_integer() for n in numbers)


def _ordered(values: list[str]) -> list[str]:
    """The distinct labels: numbers by value, names by alphabet."""
    distinct = sorted(set(values))
    try:
        numbers = [float(value) for value in distinct]
    except ValueError:
        return distinct
    return sorted(distinct, key=float) if all(map(math.isfinite, numbers)) else distinct


def _example(task: LabelledTask, where: str, row: dict[str, Any], number: int) -> Example:
    texts = [_text(where, row, column) for column in COLUMNS[task.shape]]
    if task.shape == "multiple_choice":
        texts += _answers(where, row)
    extra = {name: str(row.get(name) or "") for name in ("id", "group")}
    return Example(tuple(texts), _label(task, where, row, len(texts) - 2), extra["id"] or str(number), extra["group"])


def _text(where: str, row: dict[str, Any], column: str) -> str:
    if column not in row and column != "question":
        raise InputError(f"data: {where}: no column {column!r}, only {', '.join(row)}")
    value = row.get(column, "")
    if not isinstance(value, str):
        raise InputError(f"data: {where}: {column} is {value!r}: text is allowed")
    return value


def _answers(where: str, row: dict[str, Any]) -> list[str]:
    answers = row.get("answers")
    if answers is None:
        names = sorted((name for name in row if name.startswith("answer_")), key=lambda n: (len(n), n))
        answers = [row[name] for name in names]
        while answers and not answers[-1]:
            answers.pop()
        if "" in answers:
            empty = names[answers.index("")]
            raise InputError(f"data: {where}: {empty} is empty and a later one is not: only the last ones may be empty")
    if not isinstance(answers, list) or len(answers) < 2 or not all(isinstance(a, str) for a in answers):
        raise InputError(f'data: {where}: answer_1, answer_2, ... or "answers": two or more texts are expected')
    return answers


def label_text(where: str, row: dict[str, Any]) -> str:
    """A row's label as text; "" where there is none.

    A number is its value, however it is written: 0, 0.0 and -0.0 in JSON are one label, and so are "1" and 1. A truth
    value is "true" or "false", as JSON writes it. Raises `InputError` on NaN, an infinity, a list or an object.
    """
    value = row.get("label")
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"data: {where}: label {value!r} is not allowed: text, or a finite number")
        return str(int(value)) if value.is_integer() else repr(value)
    if not isinstance(value, str | int):
        raise InputError(f"data: {where}: label {str(value)[:40]} is not allowed: text, or a finite number")
    return str(value).strip()


def _label(task: LabelledTask, where: str, row: dict[str, Any], answers: int) -> int | float | None:
    text = label_text(where, row)
    if text == "":
        return None
    if task.regression is not None or task.shape == "multiple_choice":
        try:
            found = float(text)
        except ValueError:
            raise InputError(f"data: {where}: label {text!r} is not a number") from None
        if task.shape == "multiple_choice":
            if found not in range(1, answers + 1):
                raise InputError(f"data: {where}: label {text!r} is not allowed: an answer's number, 1 to {answers}")
            return int(found) - 1
        low, high = task.regression or (0, 0)
        if not low <= found <= high:
            raise InputError(f"data: {where}: label {text!r} is not allowed: {low:g} to {high:g}")
        return found
    if text not in task.labels:
        raise InputError(f"data: {where}: label {text!r} is not allowed: {', '.join(task.labels)}")
    return task.labels.index(text)
