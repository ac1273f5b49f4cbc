"""`publish`: finished runs become lines of results/CLAIM/SCALE.jsonl."""

from __future__ import annotations

import argparse
import sys

from experiments import experiment as experiments
from experiments.arguments import add_data_dir, add_out, add_results, existing, whole
from experiments.command import START, Command
from gpt_jax.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("claim", metavar="CLAIM", help="an experiment, as `list` names it")
    parser.add_argument("--scale", metavar="SCALE", help="the runs of this scale alone (all)")
    add_out(parser)
    add_data_dir(parser, "`data get` put the runs' data, where the runs were given a folder")
    add_results(parser)
    text = "the cores that the runs used, for runs of versions that kept no number of cores"
    parser.add_argument("--cores", type=whole(1, 4096), metavar="N", help=text)


def publish(arguments: argparse.Namespace) -> int:
    """Publishes what may be published, and refuses the rest, each run by name. Status 1 where a run was refused."""
    from experiments.published.checks import Checks
    from experiments.published.file import RESULTS, add, path_of
    from experiments.published.line import Published, published_run
    from experiments.runs.folder import read_folder
    from experiments.runs.screen import Screen
    from experiments.terminal import make_console
    from experiments.verdicts.document import write_documents

    e = experiments.load(arguments.claim)
    if arguments.scale:
        e.scale(arguments.scale)
    home, data_dir = arguments.out / e.name, existing(arguments.data_dir, "--data-dir")
    folders = sorted(path.parent for path in home.glob("*/seed-*/result.json"))
    if not folders:
        raise InputError(f"{home}: no finished run (result.json): {START} run {e.name} comes first, or give --out")
    screen = Screen(make_console())
    checks = Checks(e, data_dir, screen)
    refused: list[str] = []
    found: dict[str, list[Published]] = {}
    with screen.stages() as show:
        for number, folder in enumerate(folders, 1):
            try:
                scale = read_folder(folder)[1].scale
                if arguments.scale in (None, scale):
                    run = published_run(folder, checks.source_digest(folder), arguments.cores)
                    found.setdefault(scale, []).append(run)
            except InputError as error:
                named = "" if str(error).startswith(str(folder)) else f"{folder}: "
                refused.append(f"refused: {named}{error}")
            show("checking runs", number, len(folders))
    for scale, runs in sorted(found.items()):
        path = path_of(e.name, scale, arguments.results or RESULTS)
        lines, remarks = add(path, runs, e)
        print("\n".join([*remarks, f"{path}: {len(lines)} runs"]))
    if found and arguments.results is None:
        for path in write_documents():
            print(path)
    for line in refused:
        print(line, file=sys.stderr)
    return 1 if refused else 0


COMMAND = Command(
    group="judge",
    help="make finished runs lines of results/CLAIM/SCALE.jsonl: whole ones, of a clean commit that is on main",
    example="python -m experiments publish layer_norm --scale cpu",
    arguments=add_arguments,
    act=publish,
)
