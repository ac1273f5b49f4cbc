"""Scores a task from its answers, which are kept on disk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpt_jax.data.public_files import Files
from gpt_jax.disk import digest_of, read_json, write_atomically
from gpt_jax.errors import InputError
from gpt_jax.evaluation.answering import Progress, answer
from gpt_jax.evaluation.asking import DEFAULTS, Options, ask, chosen_items, fitting
from gpt_jax.evaluation.inference.requests import Answer, Generate, Likelihood, Request
from gpt_jax.evaluation.inference.scoring import TextModel, suitable_tokens
from gpt_jax.evaluation.metrics import Estimate, Metric, estimate
from gpt_jax.evaluation.task import Row, Task

VERSION = 1  # of what answers mean: part of the cache's key


@dataclass(frozen=True)
class Outcome:
    """A task's figures at K shots, and one record of questions and answers for each item.

    `shown` is the mean number of examples, below `shots` where some were dropped.
    """

    task: str
    shots: int
    shown: float
    estimates: tuple[tuple[Metric, Estimate], ...]
    records: list[dict[str, Any]]


def evaluate(
    model: TextModel,
    task: Task,
    files: Files,
    shots: int | Literal["fit"] = 0,
    options: Options = DEFAULTS,
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Scores a model on a task with `shots` examples before each item ("fit": the most that fit every item's context).

    Answers are kept in the folder `cache`, if it can be written, under (model, requests, options), so that a changed
    metric is computed again and a repeated question is not asked again.
    Raises `InputError` on files that are missing, and on what does not fit.
    """
    items, numbers = chosen_items(task, files, options)
    if shots and task.example is None:
        raise InputError(f"--shots: {shots} is not allowed: {task.name} is a zero-shot task")
    pool = task.load(files, pool=True) if shots else []
    count = fitting(model, task, items, numbers, pool, options) if shots == "fit" else shots
    asked, encoded, kept = ask(model, task, items, numbers, pool, count, options)
    path = (
        None if cache is None or not model.digest else cache / f"{task.name}-{count}-{key(model, asked, options)}.json"
    )
    flat = [request for part in asked for request in part]
    answers = read_answers(path) if path is not None else None
    if answers is None or len(answers) != len(flat):
        answers = answer(model, flat, [e for part in encoded for e in part], options, progress)
        if path is not None:
            with suppress(OSError):  # what cannot be kept is asked again the next time, and its scores are not lost
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, json.dumps([_plain(a) for a in answers]))
    rows: list[Row] = []
    records = []
    for number, item, requests, shown_count in zip(numbers, items, asked, kept, strict=True):
        own, answers = answers[: len(requests)], answers[len(requests) :]
        scored = task.score(item, own)
        rows += scored if isinstance(scored, list) else [scored]
        records.append(
            {
                "number": number,
                "item": item,
                "shots": shown_count,
                "requests": [dataclasses.asdict(r) for r in requests],
                "answers": [_plain(a) for a in own],
                "scores": scored,
            }
        )
    if not rows:
        raise InputError(f"{task.name}: nothing is scored: its texts are empty")
    estimates = tuple((metric, estimate(metric, rows)) for metric in task.metrics)
    return Outcome(task.name, count, float(np.mean(kept)), estimates, records)


def part_of(outcome: Outcome, numbers: Collection[int]) -> Outcome | None:
    """The figures over some of an outcome's items, by their numbers in the task. None if none of them was asked."""
    records = [record for record in outcome.records if record["number"] in numbers]
    rows = [row for r in records for row in (r["scores"] if isinstance(r["scores"], list) else [r["scores"]])]
    if not rows:
        return None
    estimates = tuple((metric, estimate(metric, rows)) for metric, _ in outcome.estimates)
    shown = sum(record["shots"] for record in records) / len(records)
    return Outcome(outcome.task, outcome.shots, shown, estimates, records)


def key(model: TextModel, asked: Sequence[Sequence[Request]], options: Options) -> str:
    """The digest of all that the answers depend on. Texts drawn by chance depend on how requests are batched, too."""
    sampled = any(isinstance(r, Generate) and r.temperature > 0 for part in asked for r in part)
    return digest_of(
        [
            VERSION,
            model.digest,
            [dataclasses.asdict(r) for part in asked for r in part],
            [len(part) for part in asked],
            options.stride,
            options.overflow,
            options.seed,
            *([options.batch_tokens or suitable_tokens()] if sampled else []),
        ]
    )


def _plain(answer: Answer) -> Any:
    """An answer as JSON: a list for each likelihood."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, Likelihood):
        return list(dataclasses.astuple(answer))
    return [list(dataclasses.astuple(a)) for a in answer]


def read_answers(path: Path) -> list[Answer] | None:
    """The answers kept in a cache file, or None if the file is missing or damaged."""
    try:
        return [_read(a) for a in read_json(path, list)]
    except (InputError, TypeError):
        return None


def _read(plain: Any) -> Answer:
    if isinstance(plain, str):
        return plain
    return tuple(Likelihood(*a) for a in plain) if plain and isinstance(plain[0], list) else Likelihood(*plain)
