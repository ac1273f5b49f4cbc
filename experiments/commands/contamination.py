"""`contamination`: how much of each task stands in a corpus, and which of its items are clean."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.arguments import add_data_dir, output_file, whole
from experiments.command import Command
from gpt_jax.disk import parse_json, read_utf8
from gpt_jax.errors import InputError

SUFFIXES = (".txt", ".jsonl", ".tsv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="a run folder, or a file or folder of text")
    parser.add_argument("--tasks", required=True, metavar="A,B", help="tasks' names, or files: .txt, .jsonl, .tsv")
    add_data_dir(parser, "the tasks' data is")
    parser.add_argument("--corpus-dir", type=Path, metavar="DIR", help="where the run's text is (--data-dir)")
    parser.add_argument("--n", type=whole(1, 1000), metavar="N", help="words of a collision (by task, 8 to 13)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a json file with every item's verdict")


def contamination(arguments: argparse.Namespace) -> int:
    """Prints a table of the overlaps and writes `--out`, a json file with every item's verdict."""
    from experiments.terminal import make_console
    from gpt_jax.contamination.overlap import NgramFilter, bloom_overlap, false_positives, split_tasks
    from gpt_jax.disk import write_atomically

    tasks = {}
    for name in arguments.tasks.split(","):
        tasks |= _texts(name, arguments.data_dir)
    output_file(arguments.out, ("corpus", "filter", "tasks"))
    console = make_console()
    with console.status("reading the corpus: 8-grams"):
        training = NgramFilter()
        training.add(_documents(arguments))
    if not training.ngrams:
        raise InputError(f"{arguments.corpus}: holds no run of {training.n} words: nothing to compare with")
    overlaps = {name: bloom_overlap(training, texts) for name, texts in tasks.items()}
    false = false_positives(training)
    summary = {"n": training.n, "ngrams": training.ngrams, "bytes": training.bytes, "rate": training.rate}
    del training
    with console.status("reading the corpus: collisions"):
        splits = split_tasks(_documents(arguments), tasks, arguments.n)
    report = {
        "corpus": str(arguments.corpus),
        "filter": {**summary, "false_positives_of_1m_random_strings": false},
        "tasks": {name: _row(overlaps[name], splits[name]) for name in tasks},
    }
    _show(console, report)
    if arguments.out is not None:
        write_atomically(arguments.out, json.dumps(report, indent=1) + "\n")
    return 0


def _row(overlaps: list[Any], split: Any) -> dict[str, Any]:
    from gpt_jax.contamination.overlap import total

    whole = total(overlaps)
    return {
        "items": len(overlaps),
        "ngrams": whole.ngrams,
        "found": whole.found,
        "overlap": whole.share,
        "item_overlap": [row.share for row in overlaps],
        "n": split.n,
        "clean": list(split.clean),
        "dirty": list(split.dirty),
    }


def _show(console: Any, report: dict[str, Any]) -> None:
    from rich.table import Table

    from experiments.terminal import print_whole

    console.print(f"contamination by {report['corpus']}", soft_wrap=True)
    table = Table()
    table.add_column("task")
    for name in ("items", "8-grams", "in corpus", "N", "clean", "dirty", "dirty share"):
        table.add_column(name, justify="right")
    for name, row in report["tasks"].items():
        dirty = len(row["dirty"])
        table.add_row(
            Path(name).name,
            f"{row['items']:,}",
            f"{row['ngrams']:,}",
            f"{row['overlap']:.2%}",
            str(row["n"]),
            f"{len(row['clean']):,}",
            f"{dirty:,}",
            f"{dirty / row['items']:.1%}",
        )
    print_whole(console, table)
    found = report["filter"]
    console.print(
        f"filter: {found['ngrams']:,} 8-grams in {found['bytes'] / 2**20:,.0f} MiB at a rate of {found['rate']:.0e}; "
        f"of 1,000,000 random strings it holds {found['false_positives_of_1m_random_strings']}",
        soft_wrap=True,
    )


def _documents(arguments: argparse.Namespace) -> Iterator[Iterator[str]]:
    """The texts that a run trained on, or those of a file or folder, as parts."""
    from experiments.runs.weights import is_run_folder
    from gpt_jax.data.prepare import training_text
    from gpt_jax.data.sources import open_source
    from gpt_jax.disk import cache_root

    corpus = arguments.corpus
    if (corpus / "config.json").is_file() and is_run_folder(corpus):
        from experiments.runs.runner import read_folder

        data = read_folder(corpus)[0].data
        return training_text(data, arguments.corpus_dir or arguments.data_dir)
    if not corpus.exists():
        raise InputError(f"{corpus}: does not exist: allowed: a run folder, or a file or folder of text")
    source = open_source(f"local:{corpus.resolve()}", None, cache_root(None))
    return (document.parts() for document in source.documents())


def _texts(name: str, data_dir: Path | None) -> dict[str, list[str]]:
    """The text of each item: of a file by path, else of an evaluation task, or of each of a family, by name."""
    path = Path(name)
    if path.suffix in SUFFIXES:
        found = {name: _read(path)}
    else:
        from gpt_jax.data.public_files import Files
        from gpt_jax.evaluation.task import find_tasks

        found = {task.name: [item_text(item) for item in task.load(Files(data_dir))] for task in find_tasks([name])}
    for task, texts in found.items():
        if not texts:
            raise InputError(f"--tasks: {task!r} has no items")
    return found


def _read(path: Path) -> list[str]:
    """One item a line; of a .tsv's columns those of two words or more, without the line of their names."""
    try:
        lines = [(f"{path}:{n}", line) for n, line in enumerate(read_utf8(path).split("\n"), 1) if line.strip()]
        if path.suffix == ".jsonl":
            return [item_text(parse_json(line, where)) for where, line in lines]
    except InputError as error:
        raise InputError(f"--tasks: {error}") from None
    if path.suffix == ".tsv":
        columns = ([c for c in line.split("\t") if len(c.split()) > 1] for _, line in lines[1:])
        return ["\n".join(row) for row in columns]
    return [line for _, line in lines]


def item_text(value: Any) -> str:
    """All strings in an item, one below the other."""
    if isinstance(value, str):
        return value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return "\n".join(text for part in parts if (text := item_text(part)))


COMMAND = Command(
    group="data",
    help="how much of a task stands in a corpus, and which of its items are clean",
    example="python -m experiments contamination runs/quickstart/gpt/seed-0 --tasks sums --out overlap.json",
    arguments=add_arguments,
    act=contamination,
)
