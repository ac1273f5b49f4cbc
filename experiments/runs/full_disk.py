"""A full disk, told from everything else that can go wrong while writing.

Python's own errors carry the system's number. TensorStore's carry none, and their words decide nothing here: where a
save fails, the room for another one is asked of the system.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITERS = ("orbax", "tensorstore")
LEAST = 1 << 20  # bytes that are asked for at least
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, no quota, the limit on a file's size


class DiskFull(Exception):
    """There is no room for what a run has to write; what it wrote before is whole."""


@contextmanager
def named_when_full(folder: Path) -> Iterator[None]:
    """Raises `DiskFull` in place of whatever a full disk made the body raise."""
    try:
        yield
    except Exception as error:
        reason = _full(error, folder)
        if reason is None:
            raise
        raise DiskFull(
            f"{folder}: cannot be written: {reason}: the checkpoints that were there are whole; make room and go on"
        ) from None


def hush_writers() -> None:
    """Keeps what a save raises from being printed as well, for the rest of this process: Orbax logs it, its event loop
    logs what nobody waited for, Python warns of writes that never began, and TensorStore shows every write that comes
    to an end after the loop."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", "coroutine '.*' was never awaited", RuntimeWarning)
    shown = sys.unraisablehook

    def show(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            shown(unraisable)

    sys.unraisablehook = show


def _full(error: BaseException, folder: Path) -> str | None:
    """What the system says, if `error`, or one that led to it, is of a full disk; None for anything else."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None:
        chain.append(following)
        following = following.__cause__ or following.__context__
    for one in chain:
        if isinstance(one, OSError) and one.errno in FULL:
            return os.strerror(one.errno)
    return _no_room(folder) if any(map(_of_a_save, chain)) else None


def _of_a_save(error: BaseException) -> bool:
    """Whether it was raised in Orbax or TensorStore, and has no number of the system's."""
    names = {frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)}
    return not isinstance(error, OSError) and any(name.partition(".")[0] in WRITERS for name in names)


def _no_room(folder: Path) -> str | None:
    """What the system says where `folder` has no room for one more of its largest checkpoint; None where it has."""
    steps = [path for path in (folder / "checkpoints").glob("*") if path.is_dir()]
    sizes = [sum(file.stat().st_size for file in step.rglob("*") if file.is_file()) for step in steps]
    size = max([LEAST, *sizes])
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.write(bytes(LEAST))
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        return os.strerror(error.errno) if error.errno in FULL else None
    return None
