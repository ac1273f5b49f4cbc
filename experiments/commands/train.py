"""`train`: trains a recipe of configs/ by its name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import configs
from experiments.arguments import (
    MAX_SEED,
    add_data_dir,
    add_deterministic,
    add_hosts,
    add_out,
    add_overrides,
    add_profile,
    existing,
    parse_overrides,
    whole,
    writable,
)
from experiments.command import Command, resume_command
from experiments.experiment import TRAIN, RunIdentity
from gpt_jax.config import RunConfig, override
from gpt_jax.errors import InputError, TrainingDiverged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe, as `list` names it: gpt2-124m")
    add_overrides(parser, "mesh.fsdp=8")
    parser.add_argument("--seed", type=whole(0, MAX_SEED), default=0, metavar="N", help="of weights and data (0)")
    text = "prepare the data, compile, take three steps, say what the whole run would take; no run folder is made"
    parser.add_argument("--dry-run", action="store_true", help=text)
    parser.add_argument("--devices", metavar="cpu:N", help="rehearse a mesh on N fake devices: cpu:8")
    add_data_dir(parser)
    add_hosts(parser)
    add_profile(parser)
    add_deterministic(parser)
    add_out(parser)


def train(arguments: argparse.Namespace) -> int:
    """Trains a recipe in OUT/train/RECIPE/seed-N, or says what that would take."""
    recipe = configs.recipe(arguments.recipe)
    data_dir = existing(arguments.data_dir, "--data-dir")
    config, notes = chosen(recipe.config, parse_overrides(arguments.overrides), arguments.seed, data_dir)
    if arguments.profile and arguments.dry_run:
        raise InputError(f"--profile: {arguments.profile} is not allowed with --dry-run, which takes three steps alone")
    folder = arguments.out / TRAIN / recipe.name / f"seed-{arguments.seed}"
    if not arguments.dry_run:
        writable(arguments.out)

    from experiments.runs.pretraining.devices import fake_devices

    fake_devices(arguments.devices)

    from experiments.runs import runner
    from experiments.runs.preflight import settled
    from experiments.runs.pretraining.rehearsal import rehearse
    from experiments.runs.screen import Screen, joined_console
    from experiments.runs.signals import CommandStopped, stop_on_signal

    console = joined_console(arguments.hosts)
    screen = Screen(console)
    screen.say(f"{recipe.name}: should reach {recipe.reaches}")
    for note in notes:
        screen.say(note)
    config = settled({recipe.name: config}, screen.say)[recipe.name]
    identity, again = RunIdentity(TRAIN, recipe.name, arguments.seed, "-"), resume_command(folder, data_dir)
    with stop_on_signal() as should_stop:
        try:
            if arguments.dry_run:
                return rehearse(config, folder, identity, data_dir, screen, should_stop)
            runner.run(
                config,
                folder,
                identity,
                data_dir=data_dir,
                console=console,
                resume_command=again,
                profile=arguments.profile,
                should_stop=should_stop,
            )
        except runner.Interrupted as stopped:
            begun = (folder / "config.json").exists() and not arguments.hosts
            raise CommandStopped(f"{folder}: {stopped}", again if begun else None) from None
        except TrainingDiverged as error:
            screen.warn(f"failed: {error}")
            return 1
    return 0


def chosen(config: RunConfig, changes: dict[str, Any], seed: int, data_dir: Path | None) -> tuple[RunConfig, list[str]]:
    """The recipe's config with `changes` and `seed`, and what is to be said of it. Raises `InputError`.

    Where --data-dir is given and no source is, the text is the local text there: but a recipe that reads a TFDS data
    set reads it from --data-dir where the data set has been prepared there.
    """
    for key in changes:
        if key.startswith("finetuning."):
            raise InputError(f"{key}: {changes[key]!r} is not allowed: `train` pre-trains; `finetune DIR` fine-tunes")
        if key == "training.seed":
            raise InputError(f"{key}: {changes[key]!r} is not allowed here: give the seed by --seed")
    notes, source = [], config.data.source
    prepared = (
        data_dir is not None and source.startswith("tfds:") and (data_dir / source[5:].partition("/")[0]).is_dir()
    )
    if data_dir is not None and "data.source" not in changes and not prepared and source != "local":
        changes = {**changes, "data.source": "local"}
        notes.append(f"--data-dir is given: data.source is local, not {source}")
    return override(config, {**changes, "training.seed": seed}), notes


COMMAND = Command(
    group="train",
    help="train a recipe by its name: GPT-1, GPT-2, GPT-3",
    example="python -m experiments train gpt2-124m --data-dir FINEWEB --dry-run training.micro_batch=8",
    arguments=add_arguments,
    act=train,
)
