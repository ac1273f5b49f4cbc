"""A user's own task: a folder of .tsv or .jsonl files, one per split, and, if need be, a task.json (docs/TASKS.md).

    train.tsv  validation.tsv  test.tsv        with a header, or .jsonl with the same keys

| columns | shape |
|---|---|
| text, label | classification |
| premise, hypothesis, label | entailment |
| text_a, text_b, label | similarity (numbers: a score) |
| context, question, answer_1, answer_2, ..., label | multiple choice; the label is the right answer's number, from 1 |

`id` and `group` may be there too. In .jsonl, multiple choice has "answers": [...]. The label may be empty or missing,
but in train. Fields are taken as they are: no quotes, no escapes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpt_jax.data.tasks import Example, Splits, Task
from gpt_jax.errors import InputError, unknown

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


def read(folder: Path) -> tuple[Task, Splits]:
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
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"data: {str(path)!r} is not UTF-8 text: {error.reason}") from None
    header: list[str] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        line, where = line.rstrip("\r"), f"{path}:{number}"
        if not line.strip():
            continue
        if path.suffix == ".jsonl":
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise InputError(f"data: {where}: not a JSON object")
            yield where, row
        elif header is None:
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
    try:
        stated = json.loads(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    allowed = ("shape", "labels", "metric", "regression", "name")
    for key in stated:
        if key not in allowed:
            raise unknown(f"{path}: key", key, allowed)
    return stated


def _shape(where: str, row: dict[str, Any]) -> str:
    for shape, columns in COLUMNS.items():
        if set(columns) <= set(row):
            return shape
    expected = "; ".join(", ".join(columns) for columns in COLUMNS.values())
    raise InputError(f"data: {where}: columns {', '.join(row)} are not allowed: expected {expected}, and label")


def _task(folder: Path, shape: Any, stated: dict[str, Any], train: list[Row]) -> Task:
    values = [str(row.get("label", "")).strip() for _, row in train]
    score = stated.get("regression")
    if shape == "similarity" and score is None and "labels" not in stated and _fractional(values):
        score = (min(map(float, values)), max(map(float, values)))
    if score is not None and (len(score) != 2 or not score[0] < score[1]):
        raise InputError(f"{folder / 'task.json'}: regression: {score!r} is not allowed: two numbers, the lower first")
    labels = () if score is not None or shape == "multiple_choice" else tuple(stated.get("labels") or _ordered(values))
    metric = stated.get("metric") or ("pearson" if score is not None else "accuracy")
    return Task(
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
    return len(numbers) > 2 or any(n != int(n) for n in numbers)


def _ordered(values: list[str]) -> list[str]:
    """The distinct labels: numbers by value, names by alphabet."""
    distinct = set(values)
    try:
        return sorted(distinct, key=float)
    except ValueError:
        return sorted(distinct)


def _example(task: Task, where: str, row: dict[str, Any], number: int) -> Example:
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
        answers = [row[name] for name in names if row[name]]
    if not isinstance(answers, list) or len(answers) < 2 or not all(isinstance(a, str) for a in answers):
        raise InputError(f'data: {where}: answer_1, answer_2, ... or "answers": two or more texts are expected')
    return answers


def _label(task: Task, where: str, row: dict[str, Any], answers: int) -> int | float | None:
    value = row.get("label")
    if value is None or str(value).strip() == "":
        return None
    text = str(value).strip()
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
