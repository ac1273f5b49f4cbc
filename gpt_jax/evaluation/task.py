"""What a task is: where its items are, what it asks about each, and how the answers score.

Each task is a short file, `gpt_jax/evaluation/tasks/NAME.py`. It holds `TASKS`, a tuple of `Task`: one task, or the
members of a family.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import gpt_jax.evaluation.tasks as package
from gpt_jax.data.public_files import Files
from gpt_jax.errors import InputError, unknown
from gpt_jax.evaluation.inference.requests import Answer, Request
from gpt_jax.evaluation.metrics import Metric

Item = dict[str, Any]  # one example, as plain values
Row = dict[str, Any]  # what scoring leaves of it: numbers under the names that metrics read


@dataclass(frozen=True)
class Task:
    """An evaluation.

    `requests(item, shown)` are the questions about an item; `shown` is the solved examples before it, "" at zero
    shots. `score(item, answers)` gives a row of numbers, or several where one item is many draws. `example(item)` is
    how a solved item reads, `delimiter` what follows it; a task without `example` is zero-shot only. Examples are
    drawn from `pool`, or where that is None, from the task's other items. The first metric is the one that matters.
    """

    name: str
    summary: str
    source: str
    items: Callable[[Files], list[Item]]
    requests: Callable[[Item, str], list[Request]]
    score: Callable[[Item, list[Answer]], Row | list[Row]]
    metrics: tuple[Metric, ...]
    example: Callable[[Item], str] | None = None
    delimiter: str = "\n\n"
    pool: Callable[[Files], list[Item]] | None = None

    def load(self, files: Files, pool: bool = False) -> list[Item]:
        """The task's items, or with `pool` the items that examples are drawn from. Raises `InputError` where the files
        are not as they are distributed."""
        try:
            return (self.pool or self.items)(files) if pool else self.items(files)
        except InputError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise InputError(f"{self.name}: its files are not as they are distributed ({problem})") from error


def families() -> dict[str, tuple[Task, ...]]:
    """File name -> its tasks."""
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return {name: import_module(f"{package.__name__}.{name}").TASKS for name in names}


def find_tasks(names: Iterable[str]) -> list[Task]:
    """The tasks of these names; a family's name stands for all of its members. Raises `InputError`."""
    known = families()
    single = {task.name: task for tasks in known.values() for task in tasks}
    found: dict[str, Task] = {}
    for name in names:
        if name not in single and name not in known:
            raise unknown("task", name, [*known, *sorted({*single} - {*known})])
        for task in (single[name],) if name in single else known[name]:
            found[task.name] = task
    return list(found.values())
