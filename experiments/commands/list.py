"""`list`: the experiments and the recipes there are."""

from __future__ import annotations

import argparse
import json

import configs
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
    print(f"\nrecipes: {', '.join(_shown_recipes())}")
    print(f"\n{START} show NAME: what it claims and costs;  {START} run NAME --scale smoke: a first run")
    print(f"{START} show RECIPE: what it reaches and takes;  {START} train RECIPE --dry-run: a rehearsal")
    return 0


def _shown_recipes() -> list[str]:
    """The recipes' names; those of GPT-3's attention variants as one."""
    plain = [name for name in configs.names() if not name.endswith(("-dense", "-strided"))]
    return [*plain, "and each gpt3 with -dense or -strided"]


def _row(e: experiments.Experiment) -> dict:
    scales = {s: {"seeds": list(e.scale(s).seeds), "arms": list(e.select(s))} for s in e.scales}
    return {"name": e.name, "summary": e.summary, "source": e.source, "arms": list(e.arms), "scales": scales}


COMMAND = Command(
    group="look",
    help="the experiments and the recipes there are",
    example="python -m experiments list --json",
    arguments=add_json,
    act=list_experiments,
)
