"""`list`: the experiments there are."""

from __future__ import annotations

import argparse
import json

from experiments import experiment as experiments
from experiments.arguments import add_json
from experiments.command import START, Command


def list_experiments(arguments: argparse.Namespace) -> int:
    """Prints name and first line of every experiment."""
    found = [experiments.load(name) for name in experiments.names()]
    if arguments.json:
        print(json.dumps([_row(e) for e in found], indent=2))
        return 0
    width = max(len(e.name) for e in found)
    for e in found:
        print(f"{e.name:<{width}}  {e.summary}")
    print(f"\n{START} show NAME: what it claims and costs;  {START} run NAME --scale smoke: a first run")
    return 0


def _row(e: experiments.Experiment) -> dict:
    scales = {s: {"seeds": list(e.scale(s).seeds), "arms": list(e.select(s))} for s in e.scales}
    return {"name": e.name, "summary": e.summary, "source": e.source, "arms": list(e.arms), "scales": scales}


COMMAND = Command(
    group="look",
    help="the experiments there are",
    example="python -m experiments list --json",
    arguments=add_json,
    act=list_experiments,
)
