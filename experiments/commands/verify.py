"""`verify`: whether run folders are whole."""

from __future__ import annotations

import argparse

from experiments.arguments import add_run_folder
from experiments.command import Command
from gpt_jax.errors import InputError


def verify(arguments: argparse.Namespace) -> int:
    """Checks run folders; raises `InputError` that names the first thing that is wrong."""
    from experiments.runs.verify import run_folders, verify_run

    wrong: list[str] = []
    for folder in run_folders(arguments.folder):
        problems = verify_run(folder)
        print(f"{folder}: {'whole' if not problems else f'{len(problems)} problems'}")
        wrong += problems
    for problem in wrong[1:]:
        print(f"  {problem}")
    if wrong:
        raise InputError(wrong[0])
    return 0


COMMAND = Command(
    group="judge",
    help="check that a run folder, or every one below a folder, is whole",
    example="python -m experiments verify runs/quickstart/gpt/seed-0",
    arguments=add_run_folder,
    act=verify,
)
