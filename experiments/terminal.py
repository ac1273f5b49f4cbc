"""What is printed, wherever it goes: to a pipe that closes, a terminal that is not UTF-8 or is narrow.

Rich is imported where a console is made, so that `list` and `--help` stay quick.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

GONE = (errno.EPIPE, errno.EIO)  # a pipe whose reader ended, a terminal that was closed
PIPE_WIDTH = 140  # columns, where nobody says how many there are
WIDEST = 10_000


class _Unheard(io.FileIO):
    """A stream whose reader may go away: from then on, what is written is dropped."""

    def write(self, data) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            if error.errno not in GONE:
                raise
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return memoryview(data).nbytes


def forgive_streams() -> None:
    """Has stdout and stderr drop what nobody reads, and replace characters that their encoding lacks.

    A command whose reader went away (`list | head -1`) goes on to its end, with the status that it would have had.
    """
    for name, errors in (("stdout", "replace"), ("stderr", "backslashreplace")):
        stream: TextIO | None = getattr(sys, name)  # None: the caller closed it
        if stream is not None:
            raw = io.BufferedWriter(_Unheard(stream.fileno(), "wb", closefd=False))
            by_line = name == "stderr" or stream.isatty()
            setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, errors, line_buffering=by_line))


def make_console(stderr: bool = False, quiet: bool = False) -> Console:
    """A console that prints text as it is: brackets in names and paths are no markup."""
    from rich.console import Console

    console = Console(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def print_whole(console: Console, table: Table) -> None:
    """Prints a table as wide as its figures ask for: on a narrower terminal its lines break, its figures do not."""
    width = console.width
    console.width = WIDEST
    console.width = max(width, console.measure(table).maximum)
    try:
        console.print(table)
    finally:
        console.width = width
