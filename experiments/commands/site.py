"""`site`: a page for every claim, as files that a browser opens."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("site"), help="where to write (default: site)")


def site(arguments: argparse.Namespace) -> int:
    """Writes the pages of all claims from results/, and says where they are."""
    from experiments.runs.screen import Screen
    from experiments.site.write import write_site
    from experiments.terminal import make_console

    screen = Screen(make_console())
    with screen.stages() as report:
        index = write_site(arguments.out, report=report)
    screen.say(f"pages  {index}")
    return 0


COMMAND = Command(
    group="judge",
    help="a page for every claim, with its verdicts, intervals and curves",
    example="python -m experiments site --out site",
    arguments=add_arguments,
    act=site,
)
