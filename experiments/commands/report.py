"""`report`: the verdicts on what was run, or was published."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from experiments import experiment as experiments
from experiments.arguments import OUT, add_out, add_results
from experiments.command import Command
from gpt_jax.errors import InputError, unknown

OTHER = (experiments.FINETUNE, experiments.TRAIN)  # runs that compare nothing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "an experiment, a folder of runs, or a published file"
    parser.add_argument("target", nargs="?", metavar="NAME_OR_DIR", help=text)
    parser.add_argument("--all", action="store_true", help="every experiment that has published runs")
    text = "read run folders, or results/ (run folders if there are any; with --all: published)"
    parser.add_argument("--from", dest="source", choices=("runs", "published"), help=text)
    parser.add_argument("--scale", metavar="SCALE", help="the runs of this scale alone (all)")
    parser.add_argument("--json", action="store_true", help="every comparison as an object; writes no files")
    text = "with --all: write docs/RESULTS.md and README's table of claims, and print nothing else"
    parser.add_argument("--write", action="store_true", help=text)
    add_out(parser)
    add_results(parser)


def report(arguments: argparse.Namespace) -> int:
    """Reports on an experiment by name, on all that a folder holds, fine-tuned tasks and recipes too, or on all."""
    from experiments.verdicts.printout import print_named_runs, print_report

    if arguments.write:
        return write(arguments)
    reports, others = of_scale(*read(arguments), arguments.scale)
    if arguments.json:
        from experiments.verdicts.objects import comparisons

        objects = [one for runs in reports for one in comparisons(runs)]
        print(json.dumps(objects, indent=2, allow_nan=False))
        return 0
    for runs in reports:
        inside = (arguments.out / "published" / runs.experiment.name / runs.scale) if runs.published else runs.where
        print_report(runs, inside)
    for folder in others:
        print_named_runs(folder)
    return 0


def write(arguments: argparse.Namespace) -> int:
    """Makes the checkout's pages from its results/."""
    from experiments.verdicts.document import write_documents

    given = {"--json": arguments.json, "--from": arguments.source, "--scale": arguments.scale}
    for name, value in {**given, "--results": arguments.results, "NAME_OR_DIR": arguments.target}.items():
        if value:
            raise InputError(f"{name}: not allowed with --write, which makes the pages of results/: --all --write is")
    if not arguments.all:
        raise InputError("--write: not allowed without --all")
    for path in write_documents():
        print(path)
    return 0


def read(arguments: argparse.Namespace) -> tuple[list[Any], list[Path]]:
    """The runs (`sources.Runs`) of each report that is asked for, and the folders of runs that compare nothing."""
    from experiments.runs.results import experiment_folders
    from experiments.verdicts import sources

    target, where = arguments.target, (arguments.out, arguments.results, arguments.source)
    if arguments.out != OUT and arguments.source != "published" and not arguments.out.is_dir():
        raise InputError(f"--out: {arguments.out}: no such folder: a folder of runs is allowed")
    if (target is None) is not arguments.all:
        raise InputError(f"NAME_OR_DIR: {target!r} is not allowed with{'' if arguments.all else 'out'} --all: one is")
    if arguments.all:
        claims = [experiments.load(name) for name in experiments.names()]
        choice = arguments.source or "published"
        found = [sources.if_any(e, arguments.out, arguments.results, choice) for e in claims]
        return [runs for several in found for runs in several], []
    if target in experiments.names():
        return sources.found(experiments.load(target), *where), []
    path = Path(target)
    if path.is_file():
        return [sources.in_file(experiments.load(path.parent.name), path)], []
    if not path.exists():
        raise unknown("experiment, folder or published file", target, experiments.names())
    folders = experiment_folders(path)
    reports = [sources.in_folder(experiments.load(n), folder) for n, folder in folders.items() if n not in OTHER]
    return reports, [folder for name, folder in folders.items() if name in OTHER]


def of_scale(reports: list[Any], others: list[Path], scale: str | None) -> tuple[list[Any], list[Path]]:
    """The reports of that scale; all, and the runs that compare nothing, where none is named. Raises `InputError`."""
    if scale is None:
        return reports, others
    if not reports:
        raise InputError(f"--scale: {scale!r} is not allowed: these runs compare nothing, and have no scale")
    chosen = [runs for runs in reports if runs.scale == scale]
    if not chosen:
        raise unknown("scale of these runs", scale, sorted({runs.scale for runs in reports}))
    return chosen, []


COMMAND = Command(
    group="judge",
    help="the verdicts on what was run, or on what was published",
    example="python -m experiments report layer_norm --from published",
    arguments=add_arguments,
    act=report,
)
