"""`finetune`: fine-tunes a model on a task as GPT-1 does, seed by seed."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from experiments.arguments import (
    add_data_dir,
    add_deterministic,
    add_out,
    add_overrides,
    add_seeds,
    add_ways,
    existing,
    parse_overrides,
    writable,
)
from experiments.command import Command
from experiments.experiment import FINETUNE, RunIdentity
from gpt_jax.config import FinetuningConfig, RunConfig, TrainingConfig, override
from gpt_jax.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a run folder, or weights in Transformers' layout")
    add_overrides(parser, "finetuning.learning_rate=1e-4")
    parser.add_argument("--task", required=True, metavar="NAME", help="a task's name, or a folder that holds one")
    add_seeds(parser, "0")
    add_ways(parser)
    add_data_dir(parser, "the task's files are")
    add_deterministic(parser)
    add_out(parser)


def finetune(arguments: argparse.Namespace) -> int:
    """Fine-tunes a model on a task, seed by seed, and prints what came of it beside the baselines."""
    from experiments.runs.preflight import settled
    from experiments.runs.results import read_result
    from experiments.runs.screen import outlasting
    from experiments.runs.sweep.member import Member
    from experiments.runs.sweep.ways import choose, make_runs
    from experiments.terminal import make_console
    from experiments.verdicts.printout import print_over_seeds

    data_dir = existing(arguments.data_dir, "--data-dir")
    configs = configurations(arguments)
    writable(arguments.out)
    console = outlasting(make_console())
    task = arm(arguments.task)
    say = partial(console.print, soft_wrap=True, highlight=False)
    members = [
        Member(RunIdentity(FINETUNE, task, seed, "-"), config, arguments.out, data_dir)
        for seed, config in settled(configs, say).items()
    ]
    way = choose(arguments.how, arguments.jobs, members)
    if len(members) > 1:
        console.print(f"way: {way}")
    lost = make_runs(members, way, console)
    results = [read_result(member.folder / "result.json") for member in members if member.finished]
    if len(results) > 1:
        print_over_seeds(console, [result.metrics for result in results], f"{len(results)}")
    for line in lost:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if lost else 0


def configurations(arguments: argparse.Namespace) -> dict[int, RunConfig]:
    """The config of each seed: the model is the folder's, the rest is the defaults and what was given."""
    from experiments.runs.weights import load_model

    changes = parse_overrides(arguments.overrides)
    for key in ("finetuning.task", "finetuning.weights", "training.seed"):
        if key in changes:
            raise InputError(f"{key}: {changes[key]!r} is not allowed here: give DIR, --task and --seeds")
    model = replace(load_model(arguments.folder).config, scan_layers=False)
    settings = FinetuningConfig(task=arguments.task, weights=str(arguments.folder))
    seeds = arguments.seeds or (0,)
    return {
        seed: override(RunConfig(model=model, finetuning=settings, training=TrainingConfig(seed=seed)), changes)
        for seed in seeds
    }


def arm(task: str) -> str:
    """A task's name as that of a folder."""
    return Path(task).resolve().name or "task"


COMMAND = Command(
    group="train",
    help="fine-tune a model on a task as GPT-1 does",
    example="python -m experiments finetune runs/quickstart/gpt/seed-0 --task grammar --seeds 0:3 finetuning.epochs=1",
    arguments=add_arguments,
    act=finetune,
)
