"""What a command is: one word after `python -m experiments`, with its help, an example, its arguments and its act.

A new command is one small file in commands/ that defines `COMMAND`; the file's name is the command's. Nothing in such
a file may import JAX, rich or SciPy at the top, so that `list` and `--help` stay quick: `act` imports what it needs.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from experiments.arguments import OVERRIDES, text
from experiments.determinism import make_deterministic
from gpt_jax.errors import InputError, unknown

COMMANDS = Path(__file__).parent / "commands"
START = "python -m experiments"
WRONG_USE = 2  # the exit status

Group = Literal["look", "train", "use a model", "judge", "data", "hardware"]


@dataclass(frozen=True)
class Command:
    """`act` takes the parsed arguments, prints, and returns the exit status. Both callables raise `InputError`."""

    group: Group  # the heading that `--help` lists the command under
    help: str  # one line
    example: str  # a whole line that works
    # None: another program reads the words after the command's name; `act` finds them in `arguments.words`.
    arguments: Callable[[argparse.ArgumentParser], None] | None
    act: Callable[[argparse.Namespace], int]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} ({self.prog} --help shows how)")


def names() -> tuple[str, ...]:
    """The commands there are: the files of commands/. Imports none of them."""
    return tuple(sorted(path.stem for path in COMMANDS.glob("*.py") if path.stem != "__init__"))


def load(name: str) -> Command:
    """The command in `experiments/commands/NAME.py`. Raises `InputError` where there is none."""
    if name not in names():
        raise unknown("command", name, names())
    return import_module(f"experiments.commands.{name}").COMMAND


def overview() -> str:
    """What `python -m experiments --help` prints: all commands, by group."""
    found = {name: load(name) for name in names()}
    width = max(map(len, found))
    lines = [f"usage: {START} COMMAND ...", "", "Runs and judges the experiments."]
    for group in get_args(Group):
        members = [f"  {name:<{width}}  {command.help}" for name, command in found.items() if command.group == group]
        lines += ["", f"{group}:", *members] if members else []
    return "\n".join([*lines, "", f"{START} COMMAND --help shows a command's arguments and an example"])


def carry_out(command: Command, words: Sequence[str], program: str) -> int:
    """Parses `words` and acts; `program` is what the user typed before them. Returns the exit status.

    Wrong use, and a file that cannot be read or written, is one line on stderr and status 2.
    """
    hosts: str | None = None

    def act() -> int:
        nonlocal hosts
        arguments = _parsed(command, list(words), program)
        if isinstance(arguments, int):
            return arguments
        hosts = getattr(arguments, "hosts", None)
        if getattr(arguments, "deterministic", False):
            make_deterministic()
        return command.act(arguments)

    return in_one_line(act, lambda: hosts)


def in_one_line(act: Callable[[], int], hosts: Callable[[], str | None] = lambda: None) -> int:
    """What `act` returns; where it raises `InputError` or names a file in an `OSError`: one line, and status 2.

    `hosts()` is the --hosts that this process was started with.
    """
    try:
        return act()
    except InputError as error:
        line = f"error: {' '.join(str(error).split())}"
    except OSError as error:
        if error.filename is None:
            raise
        line = f"error: {error.filename}: {error.strerror}"
    return failed(line, WRONG_USE, hosts())


def failed(line: str, status: int, hosts: str | None = None) -> int:
    """Prints why a command ended, and returns its exit status. One of several processes tells the others, who would
    wait for it: it joins them first where it has not yet (`hosts`), and ends at once."""
    print(line, file=sys.stderr, flush=True)
    if hosts is not None:
        from gpt_jax.parallel.hosts import initialize

        with suppress(InputError):
            initialize(hosts, lambda _: os._exit(status))
    joined = sys.modules.get("gpt_jax.parallel.hosts")  # loaded where this process has joined others
    if joined is not None and joined.tell_the_others(line):
        sys.stdout.flush()
        os._exit(status)
    return status


def typed(*words: str | Path) -> str:
    """A command as a user types it in a shell: `words` come after `python -m experiments`."""
    return shlex.join([*START.split(), *map(str, words)])


def resume_command(folder: Path, data_dir: Path | None) -> str:
    """What a user types to go on with the run in `folder`."""
    return typed("resume", folder, *(("--data-dir", data_dir) if data_dir is not None else ()))


def _parsed(command: Command, words: list[str], program: str) -> argparse.Namespace | int:
    """The arguments of `command`, or the exit status where `words` ask for help alone. Raises `InputError`."""
    if command.arguments is None and not {"-h", "--help"} & set(words):
        for before, word in pairwise(["", *words]):
            _require_text([word], before if before.startswith("--") else "argument")
        return argparse.Namespace(words=words)
    parser = _Parser(
        prog=program,
        description=command.help,
        epilog=f"example:\n  {command.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if command.arguments is not None:
        command.arguments(parser)
    try:
        arguments, extra = parser.parse_known_intermixed_args(words)
    except SystemExit as stop:  # --help
        return int(stop.code or 0)
    if extra:
        if extra[0].startswith("-"):
            raise unknown("option", extra[0].partition("=")[0], re.findall(r"--[\w-]+", parser.format_usage()))
        parser.error(f"unexpected argument {extra[0]!r}")
    for action in parser._actions:  # they have no public name
        given = getattr(arguments, action.dest, None)
        if action.dest != OVERRIDES:  # parse_overrides names their keys
            name = action.option_strings[0] if action.option_strings else str(action.metavar or action.dest)
            _require_text(given if isinstance(given, list) else [given], name)
    return arguments


def _require_text(values: Sequence[Any], name: str) -> None:
    """Raises `InputError`, which begins with `name`, where a text or a path of `values` is not valid UTF-8."""
    for value in values:
        if isinstance(value, str | Path):
            try:
                text(str(value))
            except argparse.ArgumentTypeError as error:
                raise InputError(f"{name}: {error}") from None
