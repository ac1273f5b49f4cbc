"""`report`: the verdicts on what was run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from experiments import experiment as experiments
from experiments.arguments import add_out
from experiments.command import START, Command
from gpt_jax.errors import InputError, unknown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="NAME_OR_DIR", help="an experiment, or a folder of runs")
    parser.add_argument("--json", action="store_true", help="every comparison as an object; writes no files")
    add_out(parser)


def report(arguments: argparse.Namespace) -> int:
    """Reports on an experiment by name, or on all that a folder holds, fine-tuned tasks and recipes too."""
    from experiments.runs.results import experiment_folders
    from experiments.verdicts.printout import print_named_runs, print_report

    target = arguments.target
    if target in experiments.names():
        folders = {target: arguments.out / target}
        if not folders[target].is_dir():
            raise InputError(f"{folders[target]}: no such folder: {START} run {target} comes first, or give --out")
    elif Path(target).exists():
        folders = experiment_folders(Path(target))
    else:
        raise unknown("experiment or folder", target, experiments.names())
    other = (experiments.FINETUNE, experiments.TRAIN)  # runs that compare nothing
    if arguments.json:
        from experiments.verdicts.objects import comparisons

        claims = {name: folder for name, folder in folders.items() if name not in other}
        objects = [one for name, folder in claims.items() for one in comparisons(experiments.load(name), folder)]
        print(json.dumps(objects, indent=2, allow_nan=False))
        return 0
    for name, folder in folders.items():
        if name in other:
            print_named_runs(folder)
        else:
            print_report(experiments.load(name), folder)
    return 0


COMMAND = Command(
    group="judge",
    help="the verdicts on what was run",
    example="python -m experiments report layer_norm",
    arguments=add_arguments,
    act=report,
)
