"""`evaluate`: a model's scores on tasks it was not trained on, zero-shot and few-shot, with intervals."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.arguments import MOST, add_data_dir, add_int8, add_json, add_model_folder, add_seed, output_file, whole
from experiments.command import Command
from gpt_jax.errors import InputError

PARTS = ("clean", "dirty")
MOST_SHOTS = 9_999
ALLOWED_SHOTS = f"whole numbers up to {MOST_SHOTS:,} (0,1,10), fit (all that fit), or sweep (0, 1, 2, 4, ..., fit)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_folder(parser)
    parser.add_argument("--tasks", required=True, metavar="A,B", help="tasks or families of docs/EVALUATION.md")
    parser.add_argument(
        "--shots", default="0", metavar="K", help="0,1,10; `fit`: as many as fit; `sweep`: 0, 1, 2, 4, ..., fit (0)"
    )
    add_data_dir(parser, "the tasks' public files are, at any depth")
    parser.add_argument(
        "--limit", type=whole(1, MOST), metavar="N", help="that many items of each task, at random (all)"
    )
    add_seed(parser, of="examples and limit")
    parser.add_argument(
        "--stride", type=whole(1, MOST), metavar="N", help="tokens a window of a long text scores (context)"
    )
    parser.add_argument(
        "--overflow",
        choices=("error", "drop", "truncate"),
        default="error",
        help="what is longer than the context: an error; drop examples; truncate the text from the left (error)",
    )
    parser.add_argument(
        "--overlap", type=Path, metavar="FILE", help="what `contamination --out` wrote: clean and dirty items too"
    )
    add_int8(parser)
    parser.add_argument("--checkpoints", action="store_true", help="each checkpoint of a run, not the newest alone")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a json file; every answer goes beside it as jsonl")
    add_json(parser)


def evaluate(arguments: argparse.Namespace) -> int:
    """Prints a table of scores; `--out` keeps it, and every item's answers."""
    shots = read_shots(arguments.shots)
    if arguments.data_dir is not None and not arguments.data_dir.is_dir():
        raise InputError(f"--data-dir: {str(arguments.data_dir)!r} is not a folder")
    output_file(arguments.out, ("folder", "overflow", "results"), ".items.jsonl", ".png")

    from experiments.runs.screen import Screen
    from experiments.runs.weights import load_model
    from experiments.terminal import make_console
    from gpt_jax.disk import keep_compiled_programs
    from gpt_jax.evaluation.inference.scoring import TextModel
    from gpt_jax.evaluation.task import find_tasks

    keep_compiled_programs()
    tasks = find_tasks(arguments.tasks.split(","))
    screen = Screen(make_console(stderr=arguments.json))
    splits = read_splits(arguments.overlap, [task.name for task in tasks]) if arguments.overlap is not None else {}
    results: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    try:
        for step, tokens in _checkpoints(arguments):
            with screen.waiting("loading the model"):
                loaded = load_model(arguments.folder, lambda line: print(line, file=sys.stderr), step, arguments.int8)
                model = TextModel.of(loaded.config, loaded.params, loaded.tokenizer, loaded.digest)
            which = {"model": loaded.digest} | ({} if step is None else {"step": step, "tokens": tokens})
            for task in tasks:
                for outcome in _outcomes(model, task, shots, arguments, screen):
                    results += [which | row for row in [*rows(outcome), *split_rows(outcome, splits)]]
                    records += [which | {"task": outcome.task} | record for record in outcome.records]
    finally:  # what was measured before an error is not lost
        if results:
            _write(arguments, screen, results, records)
    return 0


def read_shots(text: str) -> list[int | str]:
    """ "0,1,fit" as [0, 1, "fit"]; "sweep" as ["sweep"]. Raises `InputError`."""
    parts = text.split(",")
    known = [
        part == "fit" or (part.isascii() and part.isdigit() and len(part) <= len(str(MOST_SHOTS))) for part in parts
    ]
    if not (all(known) and len(set(parts)) == len(parts)) and parts != ["sweep"]:
        raise InputError(f"--shots: {text!r} is not allowed: {ALLOWED_SHOTS}, each once")
    return [int(part) if part.isdigit() else part for part in parts]


def read_splits(path: Path, tasks: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    """Task -> its clean and its dirty items, by number, from what `contamination --out` wrote. Raises `InputError`."""
    from gpt_jax.disk import read_json

    found = read_json(path, dict).get("tasks")
    if not isinstance(found, dict):
        raise InputError(f"--overlap: {path} has no tasks: allowed: the file that `contamination --out` wrote")
    for name in tasks:
        row = found.get(name)
        if not isinstance(row, dict) or not all(isinstance(row.get(part), list) for part in PARTS):
            raise InputError(f"--overlap: {path} has no clean and dirty items of {name!r}: it has {', '.join(found)}")
    return {name: {part: found[name][part] for part in PARTS} for name in tasks}


def split_rows(outcome: Any, splits: Mapping[str, Mapping[str, list[int]]]) -> list[dict[str, Any]]:
    """The figures on the clean and on the dirty items, each with its change from all of them, (part - all) / all, which
    GPT-3 (Figure 4.2) plots of the clean ones. Raises `InputError` where an item is in neither."""
    from gpt_jax.evaluation.evaluator import part_of

    if not splits:
        return []
    known = {number for numbers in splits[outcome.task].values() for number in numbers}
    unknown_items = [record["number"] for record in outcome.records if record["number"] not in known]
    if unknown_items:
        raise InputError(f"--overlap: item {unknown_items[0]} of {outcome.task} is not in it: it is of other files")
    parts = {part: part_of(outcome, set(numbers)) for part, numbers in splits[outcome.task].items()}
    made, whole = [], {row["metric"]: row["score"] for row in rows(outcome)}
    for row in (row for part, some in parts.items() if some is not None for row in rows(some, part)):
        score, of_all = row["score"], whole[row["metric"]]
        made.append({**row, "change": (score - of_all) / of_all if of_all and score is not None else None})
    return made


def _checkpoints(arguments: argparse.Namespace) -> list[tuple[int | None, int | None]]:
    """(step, tokens seen) of each checkpoint to evaluate; (None, None) is the newest, or a weights folder's model."""
    if not arguments.checkpoints:
        return [(None, None)]
    from experiments.runs.weights import checkpoint_steps, is_run_folder
    from gpt_jax.disk import read_jsonl

    if not is_run_folder(arguments.folder):
        raise InputError(f"--checkpoints: {arguments.folder} is a weights folder: allowed: a run folder")
    tokens = {line["step"]: line["tokens"] for _, line in read_jsonl(arguments.folder / "metrics.jsonl")}
    return [(step, tokens.get(step)) for step in checkpoint_steps(arguments.folder)]


def _outcomes(model: Any, task: Any, shots: list[int | str], arguments: argparse.Namespace, screen: Any):
    """One outcome for each K, each K once."""
    from gpt_jax.data.public_files import Files
    from gpt_jax.disk import cache_root
    from gpt_jax.evaluation import evaluator
    from gpt_jax.evaluation.asking import Options, fitting_shots

    files = Files(arguments.data_dir)
    options = Options(arguments.seed, arguments.limit, arguments.overflow, arguments.stride)
    if task.example is None and shots != [0]:
        if 0 not in shots and shots != ["sweep"]:
            raise InputError(f"--shots: {arguments.shots} is not allowed: {task.name} is a zero-shot task")
        screen.say(f"{task.name} is a zero-shot task: 0 shots only")
        shots = [0]
    counts = [n for n in shots if isinstance(n, int)]
    if len(counts) < len(shots):
        with screen.waiting(f"{task.name}: how many examples fit"):
            most = fitting_shots(model, task, files, options)
        swept = [0, *(2**n for n in range(most.bit_length()) if 2**n < most)] if shots == ["sweep"] else []
        counts = list(dict.fromkeys([*counts, *swept, most]))
    for count in counts:
        with screen.stages() as report:
            name = f"{task.name}, {count} shots"
            progress = lambda done, total, name=name, report=report: report(name, done, total)  # noqa: E731
            yield evaluator.evaluate(model, task, files, count, options, cache_root() / "evaluation", progress)


def rows(outcome: Any, items: str = "all") -> list[dict[str, Any]]:
    """An outcome's figures as plain values, and which `items` they are over; `normalised`: 0 at chance, 1 at 100 %."""
    made = []
    for metric, estimate in outcome.estimates:
        row = {
            "task": outcome.task,
            "shots": outcome.shots,
            "shown": outcome.shown,
            "metric": metric.name,
            "score": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "n": estimate.n,
            "unit": metric.unit,
            "items": items,
        }
        if metric.chance is not None:
            row["normalised"] = (estimate.value - metric.chance) / (100 - metric.chance)
        made.append({key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()})
    return made


def _write(arguments: argparse.Namespace, screen: Any, results: list, records: list) -> None:
    from gpt_jax.disk import write_atomically

    about = {
        "folder": str(arguments.folder),
        "seed": arguments.seed,
        "limit": arguments.limit,
        "stride": arguments.stride,
        "overflow": arguments.overflow,
        "results": results,
    }
    if arguments.json:
        print(json.dumps(about, indent=1))
    else:
        _table(screen.console, results)
    if arguments.out is None:
        return
    write_atomically(arguments.out, json.dumps(about, indent=1) + "\n")
    answers = arguments.out.with_suffix(".items.jsonl")
    write_atomically(answers, "".join(json.dumps(record) + "\n" for record in records))
    if arguments.checkpoints:
        from experiments.verdicts.plots import zero_shot_curves

        zero_shot_curves(results, arguments.out.with_suffix(".png"))
    screen.say(f"written: {arguments.out} and {answers}")


def _table(console: Any, results: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from experiments.terminal import print_whole

    stepped, split = "step" in results[0], any(row["items"] != "all" for row in results)
    table = Table()
    for name in (
        *(["step"] if stepped else []),
        "task",
        *(["items"] if split else []),
        "shots",
        "metric",
        "score",
        "95 % interval",
        "N",
        "unit",
        *(["change from all"] if split else []),
    ):
        table.add_column(name, justify="right" if name in ("step", "shots", "score", "N") else "left")
    for row in results:
        table.add_row(
            *([f"{row['step']:,}"] if stepped else []),
            row["task"],
            *([row["items"]] if split else []),
            str(row["shots"]),
            row["metric"],
            figure(row["score"]),
            "" if row["low"] is None else f"{figure(row['low'])} to {figure(row['high'])}",
            f"{row['n']:,}",
            row["unit"],
            *(["" if row.get("change") is None else f"{row['change']:+.1%}"] if split else []),
        )
    print_whole(console, table)


def figure(value: float | None) -> str:
    """A number with four digits. Infinity and None are "-"."""
    if value is None:
        return "-"
    return f"{value:,.2f}" if 0.1 <= abs(value) < 1e6 or value == 0 else f"{value:.4g}"


COMMAND = Command(
    group="use a model",
    help="score a model on tasks without fine-tuning, zero-shot or few-shot",
    example="python -m experiments evaluate runs/quickstart/gpt/seed-0 --tasks sums --shots 0,1 --limit 20",
    arguments=add_arguments,
    act=evaluate,
)
