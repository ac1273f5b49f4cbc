"""The command line: arguments in, an exit status out. What the commands do is in commands/, one file each.

The status is 0 when all is done, and when a run was asked to stop (Ctrl-C, SIGTERM) and wrote its checkpoint; 1 when
a run failed (it diverged, the disk is full: the last line says which); 2 for wrong use, with one line on stderr; 130
when a second signal, or one where nothing is being trained, stopped it at once. Stopping says how to go on.

A command whose output nobody reads any more (`list | head -1`) goes on to its end, with the status that it would have
had; characters that the terminal's encoding lacks are replaced (terminal.py).
"""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Sequence

from experiments.command import START, carry_out, failed, in_one_line, load, overview
from experiments.runs.full_disk import DiskFull
from experiments.runs.signals import STATUS, CommandStopped


def main(argv: Sequence[str]) -> int:
    """Runs one command; returns the exit status."""
    again = shlex.join([*START.split(), *argv])
    try:
        return in_one_line(lambda: _dispatch(*(argv or ["list"])))
    except CommandStopped as stopped:
        print(f"{stopped}; go on with: {stopped.go_on or again}", file=sys.stderr)
        return 0
    except DiskFull as full:
        return failed(f"failed: {full} with: {again}", 1)
    except KeyboardInterrupt:
        return failed(f"interrupted: what was written stays; go on with: {again}", STATUS)
    except Exception as error:  # a bug, or a lack of memory
        if "--hosts" not in again:
            raise
        traceback.print_exc()
        return failed(f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}", 1)


def _dispatch(name: str, *words: str) -> int:
    if name in ("-h", "--help"):
        print(overview())
        return 0
    status = carry_out(load(name), words, f"{START} {name}")
    if sys.stdout is not None:  # None: the caller closed it
        sys.stdout.flush()  # here, where what goes wrong is one line
    return status
