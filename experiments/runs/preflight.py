"""What is settled and checked before the first step: a run that cannot end is refused at once, and not after hours."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from gpt_jax.config import RunConfig, override
from gpt_jax.errors import InputError

Key = TypeVar("Key")


def settled(configs: Mapping[Key, RunConfig], say: Callable[[str], object]) -> dict[Key, RunConfig]:
    """`configs` with the fastest type of products here where model.matmul_dtype is "auto", so that a run says what it
    was: its digest, its resume and its rerun are those of the type. Says what was measured. Starts JAX where any is.

    Of several processes, the first one's measurement decides for all.
    """
    if all(config.model.matmul_dtype != "auto" for config in configs.values()):
        return dict(configs)
    from gpt_jax.model.fastest import TYPES, fastest_type, machine, product_seconds
    from gpt_jax.parallel.hosts import of_the_first

    seconds = product_seconds()
    kind = TYPES[of_the_first(TYPES.index(fastest_type(seconds)))]
    costs = ", ".join(f"{seconds[one] * 1e3:.1f} ms in {one}" for one in TYPES)
    say(f"model.matmul_dtype=auto is {kind}: a product and its gradients take {costs} here: {machine()}")
    return {
        key: override(config, {"model.matmul_dtype": kind}) if config.model.matmul_dtype == "auto" else config
        for key, config in configs.items()
    }


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
