"""What is printed, wherever it goes: to a pipe that closes, a terminal that is not UTF-8 or is narrow.

Rich is imported where a console is made, so that `list` and `--help` stay quick.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

GONE = (errno.EPIPE, errno.EIO)  # a pipe whose reader ended, a terminal that was closed
PIPE_WIDTH = 140  # columns, where nobody says how many there are
WIDEST = 10_000


class Outlasting:
    """A text stream that goes on when its reader goes away, and replaces characters that its encoding lacks.

    What is written from then on is dropped, also what others write to the same descriptor. With `always`, this holds
    for whatever else the stream fails with, as a full disk.
    """

    def __init__(self, stream: Any, always: bool = False):
        self._stream, self.always = stream, always

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:  # a terminal that is not UTF-8
            return self._stream.write(text.encode(self._stream.encoding, "replace").decode(self._stream.encoding))
        except (OSError, ValueError) as error:
            self._drop(error)
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._drop(error)

    def _drop(self, error: OSError | ValueError) -> None:
        """Drops what is written from now on. Raises `OSError` where the reader has not gone, and it is not `always`."""
        name = getattr(self._stream, "name", "output")
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if not self.always and isinstance(error, OSError) and error.errno not in GONE:
            raise OSError(error.errno, error.strerror, name)


def forgive_streams() -> None:
    """Has stdout and stderr drop what nobody reads, and replace characters that their encoding lacks.

    A command whose reader went away (`list | head -1`) goes on to its end, with the status that it would have had.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)  # None: the caller closed it
        if stream is not None:
            setattr(sys, name, Outlasting(stream))


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
