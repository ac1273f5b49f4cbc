"""`run`: trains an experiment's arms, seed by seed, and reports."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import configs as recipes
from experiments import experiment as experiments
from experiments.arguments import (
    add_data_dir,
    add_experiment,
    add_hosts,
    add_out,
    add_overrides,
    add_profile,
    add_seeds,
    existing,
    parse_overrides,
    writable,
)
from experiments.command import START, Command, resume_command
from experiments.experiment import SMOKE, Experiment
from gpt_jax.config import RunConfig
from gpt_jax.errors import InputError, TrainingDiverged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    add_overrides(parser, "model.n_layer=2")
    parser.add_argument("--scale", default="cpu", metavar="SCALE", help="smoke, cpu (the default) or paper")
    add_seeds(parser, "the scale's own")
    parser.add_argument("--only", action="append", default=[], metavar="ARM", help="an arm; may be repeated (all)")
    parser.add_argument("--to-decide", action="store_true", help="then as many more seeds as the margins ask for")
    add_data_dir(parser)
    add_hosts(parser)
    add_profile(parser)
    add_out(parser)


def run(arguments: argparse.Namespace) -> int:
    """Trains every arm with every seed, then reports. A run that fails does not stop the others. A full disk does.

    With --to-decide, the scale's seeds are the first stage, and the second that `verdicts.stages` computes follows.
    """
    if arguments.name in recipes.names() and arguments.name not in experiments.names():
        raise InputError(f"{arguments.name!r} is a recipe, not an experiment: {START} train {arguments.name} trains it")
    e = experiments.load(arguments.name)
    arms = e.select(arguments.scale, tuple(arguments.only))
    if arguments.to_decide:
        check_to_decide(e, arguments)
    seeds = arguments.seeds or e.scale(arguments.scale).seeds
    changes = parse_overrides(arguments.overrides)
    data_dir = existing(arguments.data_dir, "--data-dir")
    notes = []
    if data_dir is not None and e.base.data.source == "shakespeare" and "data.source" not in changes:
        changes["data.source"] = "local"
        notes.append(f"--data-dir is given: data.source is local, not {e.base.data.source}")
    configs = e.runs(arguments.scale, arms, seeds, changes)
    writable(arguments.out)

    from experiments.runs.compute import compute
    from experiments.runs.screen import joined_console
    from experiments.verdicts.printout import print_report

    console = joined_console(arguments.hosts)
    console.print(f"{e.name} at scale {arguments.scale}: {compute(configs.values())}")
    console.print(
        f"arms: {', '.join(arms)}; seeds: {', '.join(map(str, seeds))}; in {arguments.out / e.name}", highlight=False
    )
    for note in notes:
        console.print(note)
    where = arguments.out, data_dir, console, arguments.hosts, arguments.profile
    lost = _train_all(e, arguments.scale, configs, *where)
    if arguments.to_decide:
        from experiments.verdicts.stages import plan_lines, second_stage

        folder = arguments.out / e.name
        for line in plan_lines(e, arguments.scale, folder):
            console.print(line, highlight=False)
        pairs = [] if lost else second_stage(e, arguments.scale, folder)
        further = {(arm, seed): e.config(arm, arguments.scale, seed, changes) for arm, seed in pairs}
        lost += _train_all(e, arguments.scale, further, *where)
    if len(configs) > len(lost) and (len(configs) > 1 or e.comparisons):
        print_report(e, arguments.out / e.name)
    for line in lost:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if lost else 0


def check_to_decide(e: Experiment, arguments: argparse.Namespace) -> None:
    """Raises `InputError` where two stages make no sense: with other seeds or arms than the scale's, or at smoke."""
    for key, given in (("--seeds", arguments.seeds), ("--only", arguments.only)):
        if given:
            raise InputError(f"{key}: not allowed with --to-decide: its first stage is the scale's own seeds and arms")
    if arguments.scale == SMOKE:
        raise InputError(f"--scale: {SMOKE} is not allowed with --to-decide: it gives no verdicts")
    if not e.comparisons:
        raise InputError(f"--to-decide: {e.name} compares nothing: allowed: an experiment with comparisons")
    if len(e.scale(arguments.scale).seeds) < 2:
        raise InputError(f"--to-decide: scale {arguments.scale} of {e.name} has one seed: 2 show a spread")


def _train_all(
    e: Experiment,
    scale: str,
    configs: Mapping[tuple[str, int], RunConfig],
    out: Path,
    data_dir: Path | None,
    console: Any,
    hosts: str | None,
    profile: int,
) -> list[str]:
    """Runs all of `configs`; a line for each that failed. Wrong use, seen at the first, stops at once."""
    from experiments.runs import runner
    from experiments.runs.full_disk import DiskFull
    from experiments.runs.signals import CommandStopped, stop_on_signal

    lost: list[str] = []
    with stop_on_signal() as should_stop:
        for number, ((arm, seed), config) in enumerate(configs.items(), 1):
            folder = out / e.name / arm / f"seed-{seed}"
            again = resume_command(folder, data_dir)
            if len(configs) > 1:
                console.rule(f"{arm}, seed {seed} ({number} of {len(configs)})")
            try:
                runner.run(
                    config,
                    folder,
                    runner.RunIdentity(e.name, arm, seed, scale),
                    data_dir=data_dir,
                    console=console,
                    divergence_is_outcome=e.divergence_is_outcome,
                    evaluate=e.evaluate,
                    resume_command=again,
                    profile=profile,
                    should_stop=should_stop,
                )
            except runner.Interrupted as stopped:
                one = len(configs) == 1 and (folder / "config.json").exists() and not hosts
                raise CommandStopped(f"{folder}: {stopped}", again if one else None) from None
            except DiskFull:  # for the other arms too
                for line in lost:
                    print(f"failed: {line}", file=sys.stderr)
                raise
            except InputError as error:
                if number == 1:
                    raise
                lost.append(f"{arm} seed {seed}: {error}")
            except TrainingDiverged as error:
                lost.append(f"{arm} seed {seed}: {error}")
            except Exception as error:  # out of memory, a bug: the other arms go on
                traceback.print_exc()
                lost.append(f"{arm} seed {seed}: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
    return lost


COMMAND = Command(
    group="train",
    help="train an experiment's arms: skips what is finished, goes on with what is begun",
    example="python -m experiments run quickstart --scale smoke --seeds 0:2 training.train_tokens=1e5",
    arguments=add_arguments,
    act=run,
)
