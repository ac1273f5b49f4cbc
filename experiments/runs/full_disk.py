"""A full disk, told from everything else that can go wrong while writing."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, no quota, the limit on a file's size


class DiskFull(Exception):
    """There is no room for what a run has to write; what it wrote before is whole."""


@contextmanager
def named_when_full(folder: Path) -> Iterator[None]:
    """Raises `DiskFull` in place of whatever a full disk made the body raise."""
    try:
        yield
    except Exception as error:
        reason = _full(error)
        if reason is None:
            raise
        raise DiskFull(
            f"{folder}: cannot be written: {reason}: the checkpoints that were there are whole; make room and go on"
        ) from None


def hush_writers() -> None:
    """Keeps what a save raises from being printed as well, for the rest of this process: Orbax logs it, its event loop
    logs what nobody waited for, and TensorStore shows every write that comes to an end after the loop."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    shown = sys.unraisablehook

    def show(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            shown(unraisable)

    sys.unraisablehook = show


def _full(error: BaseException | None) -> str | None:
    """What the system says, if `error`, or one that led to it, is of a full disk; libraries only quote its words."""
    while error is not None:
        for number in FULL:
            if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
                return os.strerror(number)
        error = error.__cause__ or error.__context__
    return None
