"""`run`: trains an experiment's arms, seed by seed, and reports."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import configs as recipes
from experiments import experiment as experiments
from experiments.arguments import (
    add_data_dir,
    add_deterministic,
    add_experiment,
    add_hosts,
    add_out,
    add_overrides,
    add_profile,
    add_seeds,
    add_shard,
    add_ways,
    existing,
    parse_overrides,
    writable,
)
from experiments.command import START, Command, typed
from experiments.experiment import SMOKE, Experiment, Start
from experiments.sweep import shard
from gpt_jax.config import RunConfig
from gpt_jax.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    add_overrides(parser, "model.n_layer=2")
    parser.add_argument("--scale", default="cpu", metavar="SCALE", help="smoke, laptop, cpu (default), gpu, paper")
    add_seeds(parser, "the scale's own")
    parser.add_argument("--only", action="append", default=[], metavar="ARM", help="an arm; may be repeated (all)")
    parser.add_argument("--to-decide", action="store_true", help="then as many more seeds as the margins ask for")
    parser.add_argument("--with-needs", action="store_true", help="first make the missing models that runs start from")
    add_ways(parser)
    add_shard(parser)
    add_data_dir(parser)
    add_hosts(parser)
    add_profile(parser)
    add_deterministic(parser)
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
    from experiments.corpora.catalogue import fetched, require_tests

    require_tests(e, arguments.scale)
    if data_dir is None:
        data_dir = fetched(e.name, e.data, source_of(e, arguments.scale, changes))
    elif e.base.data.source == "shakespeare" and "data.source" not in changes:
        changes["data.source"] = "local"
        notes.append(f"--data-dir is given: data.source is local, not {e.base.data.source}")
    configs = e.runs(arguments.scale, arms, seeds, changes)
    if arguments.shard:
        count, configs = len(configs), dict(shard(list(configs.items()), arguments.shard))
        part = "/".join(map(str, arguments.shard))
        notes.append(f"part {part}: {len(configs)} of {count} runs: {', '.join(f'{a} seed {s}' for a, s in configs)}")
        if not configs:
            raise InputError(f"--shard: {part} is not allowed: the sweep has {count} runs, and this part none of them")
    from experiments.runs.compute import compute
    from experiments.runs.preflight import settled
    from experiments.runs.screen import joined_console
    from experiments.runs.starts import described, missing
    from experiments.runs.sweep.member import members
    from experiments.runs.sweep.ways import choose, make_runs
    from experiments.verdicts.printout import print_report
    from experiments.verdicts.sources import in_folder

    lacking = missing(e, arguments.scale, configs.values())
    if lacking and not arguments.with_needs:
        raise InputError(
            f"finetuning.weights: {', '.join(start.folder for start in lacking)} is missing: {described(lacking)}: add "
            "--with-needs to make it first, or give finetuning.weights=DIR, a run or exported weights"
        )
    writable(arguments.out)
    console = joined_console(arguments.hosts)
    say = partial(console.print, soft_wrap=True, highlight=False)
    configs = settled(configs, say)
    console.print(f"{e.name} at scale {arguments.scale}: {compute(configs.values())}")
    console.print(
        f"arms: {', '.join(arms)}; seeds: {', '.join(map(str, seeds))}; in {arguments.out / e.name}", highlight=False
    )
    for note in notes:
        console.print(note)
    for start in lacking:
        make(start, console, arguments.hosts)

    def train(some: Mapping[tuple[str, int], RunConfig]) -> list[str]:
        chosen = members(e, arguments.scale, some, arguments.out, data_dir)
        way = choose(arguments.how, arguments.jobs, chosen, alone=bool(arguments.hosts or arguments.profile))
        if len(chosen) > 1:
            console.print(f"way: {way}")
        return make_runs(chosen, way, console, e, hosts=arguments.hosts, profile=arguments.profile)

    lost = train(configs)
    if arguments.to_decide:
        from experiments.verdicts.stages import plan_lines, second_stage

        folder = arguments.out / e.name
        for line in plan_lines(e, arguments.scale, folder):
            console.print(line, highlight=False)
        pairs = [] if lost else second_stage(e, arguments.scale, folder)
        further = {(arm, seed): e.config(arm, arguments.scale, seed, changes) for arm, seed in pairs}
        lost += train(settled(further, say))
    if arguments.shard:
        folder = arguments.out / e.name
        console.print(f"copy the parts into one {folder}; then: {typed('report', folder)}", soft_wrap=True)
    elif len(configs) > len(lost) and (len(configs) > 1 or e.comparisons):
        print_report(in_folder(e, arguments.out / e.name), arguments.out / e.name)
    for line in lost:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if lost else 0


def source_of(e: Experiment, scale: str, changes: Mapping[str, Any]) -> str:
    """What the runs read, of arms that do not say otherwise."""
    return str({**e.scale(scale).overrides, **changes}.get("data.source", e.base.data.source))


def make(start: Start, console: Any, hosts: str | None) -> None:
    """Makes a model that others start from, in the folder where they look for it. Raises `InputError`."""
    from experiments.corpora.catalogue import fetched
    from experiments.runs.starts import described
    from experiments.runs.sweep.member import members
    from experiments.runs.sweep.ways import choose, make_runs

    e = experiments.load(start.claim)
    console.print(f"first {start}, which the runs start from: {described([start])}")
    configs = e.runs(start.scale, [start.arm], [start.seed])
    text = fetched(e.name, e.data, source_of(e, start.scale, {}))
    chosen = members(e, start.scale, configs, Path(start.folder).parents[2], text)
    if lost := make_runs(chosen, choose("serial", None, chosen, alone=True), console, e, hosts=hosts, profile=0):
        raise InputError(f"finetuning.weights: {start.folder} was not made: {lost[0]}")


def check_to_decide(e: Experiment, arguments: argparse.Namespace) -> None:
    """Raises `InputError` where two stages make no sense: with other seeds or arms than the scale's, or at smoke."""
    for key, given in (("--seeds", arguments.seeds), ("--only", arguments.only), ("--shard", arguments.shard)):
        if given:
            raise InputError(f"{key}: not allowed with --to-decide: its first stage is all of the scale's own runs")
    if arguments.scale == SMOKE:
        raise InputError(f"--scale: {SMOKE} is not allowed with --to-decide: it gives no verdicts")
    if not e.comparisons:
        raise InputError(f"--to-decide: {e.name} compares nothing: allowed: an experiment with comparisons")
    if options := " ".join(e.scale(arguments.scale).run_options):
        raise InputError(f"--to-decide: not allowed: the seeds of {e.name} are fixed at {arguments.scale}: {options}")
    if len(e.scale(arguments.scale).seeds) < 2:
        raise InputError(f"--to-decide: scale {arguments.scale} of {e.name} has one seed: 2 show a spread")


COMMAND = Command(
    group="train",
    help="train an experiment's arms: skips what is finished, goes on with what is begun",
    example="python -m experiments run quickstart --scale smoke --seeds 0:2 training.train_tokens=1e5",
    arguments=add_arguments,
    act=run,
)
