"""What is checked before the first step: a run that cannot end is refused at once, and not after hours."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from gpt_jax.errors import InputError


def check_writable(folder: Path) -> None:
    """Raises `InputError` where a file cannot be made in `folder` or in a folder directly in it."""
    for place in [folder, *(path for path in folder.iterdir() if path.is_dir())]:
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            raise InputError(f"{place} cannot be written: {error.strerror}: a run writes to its folder") from None


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raises `InputError`, with both figures, where the disk of `folder` has no room for `needed` bytes.

    What `folder` already holds counts as room, as it is replaced.
    """
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    if needed > free + there:
        raise InputError(
            f"{folder}: {what} need {_size(needed)} and its disk has room for {_size(free + there)}: make room, or "
            "choose another --out"
        )


def _size(count: int) -> str:
    """Bytes for people: 1,536 is "1.5 KiB"."""
    amount, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount, _ = amount / 1024, units.pop(0)
    return f"{amount:,.4g} {units[0]}"
