"""`show`: what an experiment claims or a recipe promises, and what it costs."""

from __future__ import annotations

import argparse

import configs
from experiments import experiment as experiments
from experiments.arguments import add_experiment, add_out
from experiments.command import START, Command
from gpt_jax.config import flatten, to_dict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    parser.add_argument("--scale", metavar="SCALE", help="whose compute to show (all)")
    add_out(parser)


def show(arguments: argparse.Namespace) -> int:
    """Prints the claim, the arms as differences from the base, the stated directions, the compute."""
    if arguments.name in configs.names() and arguments.name not in experiments.names():
        return show_recipe(arguments.name)
    from experiments.runs.compute import compute

    e = experiments.load(arguments.name)
    scales = [arguments.scale] if arguments.scale else list(e.scales)
    costs = {scale: compute(e.runs(scale, e.select(scale), e.scale(scale).seeds).values()) for scale in scales}
    shown = arguments.scale or ("cpu" if "cpu" in e.scales else scales[0])
    print(f"{e.name}\n{'=' * len(e.name)}\n{e.claim.strip()}\n\nsource: {e.source}")
    print(f"\narms (differences from the base, at scale {shown}, seed 0):")
    for arm in e.select(shown) if arguments.scale else e.arms:
        values = flatten(to_dict(e.config(arm, shown, 0)))
        print(f"  {arm}: {', '.join(f'{key}={values[key]}' for key in e.arms[arm]) or 'the base'}")
    if e.comparisons:
        print("\nstated before any run (primary comparisons marked *):")
    for c in e.comparisons_at(shown) if arguments.scale else e.comparisons:
        where = "" if arguments.scale else scales_of(e, c)
        print(f"  {'*' if c.primary else ' '} {c.title}: {c.metric} {c.stated}{where}")
    print("\ncompute:")
    for scale, cost in costs.items():
        starts = [f"{start.claim} {start.arm} (scale {start.scale})" for start in e.scale(scale).needs]
        needs = ", ".join(dict.fromkeys(starts))  # each once, whatever its seeds
        print(f"  {scale}: {cost}; seeds {', '.join(map(str, e.scale(scale).seeds))}")
        if needs:
            print(f"    starts from {needs}: {START} run {e.name} --scale {scale} --with-needs makes what is missing")
    if e.comparisons and shown != experiments.SMOKE:
        from experiments.verdicts.stages import plan_lines

        print(f"\nhow many seeds, at scale {shown}:")
        for line in plan_lines(e, shown, arguments.out / e.name):
            print(f"  {line}")
    if e.picture is not None:
        path = arguments.out / e.name / "picture.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        e.picture(path)
        print(f"\npicture: {path}")
    return 0


def scales_of(e: experiments.Experiment, comparison: experiments.Comparison) -> str:
    """The scales whose arms a comparison compares, in words; "" if all do, or none."""
    judged = [scale for scale in e.scales if scale != experiments.SMOKE]
    own = [scale for scale in judged if comparison in e.comparisons_at(scale)]
    if not own:
        return " (of arms that --only adds)"
    return "" if own == judged else f" (at scale {', '.join(own)})"


def show_recipe(name: str) -> int:
    """Prints what a recipe promises, and what it amounts to."""
    from experiments.runs.pretraining.promise import described
    from experiments.runs.screen import Screen
    from experiments.terminal import make_console

    Screen(make_console()).table(name, described(configs.recipe(name)))
    print(f"\n{START} train {name} --dry-run: what it takes here;  {START} train {name}: trains it")
    return 0


COMMAND = Command(
    group="look",
    help="an experiment: its claim, arms and compute; or a recipe: its promise, sizes, memory and time",
    example="python -m experiments show layer_norm --scale cpu",
    arguments=add_arguments,
    act=show,
)
