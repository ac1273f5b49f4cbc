"""`resume`: goes on with one run."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from experiments import experiment as experiments
from experiments.arguments import (
    add_data_dir,
    add_deterministic,
    add_hosts,
    add_overrides,
    add_profile,
    add_run_folder,
    existing,
    parse_overrides,
    run_folder,
)
from experiments.command import Command, resume_command
from gpt_jax.config import decides_numbers, override
from gpt_jax.errors import InputError, TrainingDiverged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_folder(parser)
    add_overrides(parser, "go on with another mesh, mesh.fsdp=8, or watched, training.wandb=true")
    add_data_dir(parser)
    add_hosts(parser)
    add_profile(parser)
    add_deterministic(parser)


def resume(arguments: argparse.Namespace) -> int:
    """Goes on with one run folder, with the config it holds."""
    folder = run_folder(arguments.folder)
    data_dir = existing(arguments.data_dir, "--data-dir")

    from experiments.runs import runner
    from experiments.runs.screen import joined_console
    from experiments.runs.signals import CommandStopped, stop_on_signal

    config, identity = runner.read_folder(folder)
    changes = parse_overrides(arguments.overrides)
    for key, value in changes.items():
        if decides_numbers(key):
            raise InputError(
                f"{key}: {value!r} is not allowed: a resumed run may change only mesh.data, .fsdp, .tensor, "
                "training.tensorboard and .wandb"
            )
    config = override(config, changes)
    console = joined_console(arguments.hosts)
    rules: dict[str, Any] = {}
    if identity.experiment not in (experiments.FINETUNE, experiments.TRAIN):
        e = experiments.load(identity.experiment)
        rules = {"divergence_is_outcome": e.divergence_is_outcome, "evaluate": e.evaluate}
    with stop_on_signal() as should_stop:
        try:
            runner.run(
                config,
                folder,
                identity,
                data_dir=data_dir,
                console=console,
                resume_command=resume_command(folder, data_dir),
                profile=arguments.profile,
                should_stop=should_stop,
                **rules,
            )
        except runner.Interrupted as stopped:
            raise CommandStopped(f"{folder}: {stopped}") from None
        except TrainingDiverged as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
    return 0


COMMAND = Command(
    group="train",
    help="go on with one run",
    example="python -m experiments resume runs/quickstart/gpt/seed-0",
    arguments=add_arguments,
    act=resume,
)
