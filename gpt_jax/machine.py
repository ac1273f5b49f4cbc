"""The machine that this process runs on: its processor, and how much of it the process may use."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # of Linux


def processor() -> str | None:
    """The processor's name."""
    return _told("model name") or platform.processor() or None


def generation() -> str:
    """The processor's family and model, or "" where the system tells none. Of processors with one name and the same
    vector units, a newer generation may multiply twice as fast."""
    family, model = _told("cpu family"), _told("model")
    return f"family {family}, model {model}" if family and model else ""


def _told(key: str) -> str | None:
    """What Linux says of the first core's `key`; None where it says nothing, or on another system."""
    try:
        found = re.search(rf"^{key}\s*:\s*(.+)$", CPUINFO.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return found[1].strip() if found else None


def core_numbers() -> list[int]:
    """The cores that this process may use, by the system's numbers."""
    return sorted(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(core_numbers())


@contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """Has this thread run on `cores`, where the system can say so. What it starts meanwhile stays there."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def vector_units() -> str:
    """The processor's widest vector units, and whether they multiply bfloat16: what a product costs turns on these."""
    has = set((_told("flags") or "").split())
    width = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX")) if flag in has), "")
    units = [width] if width else []
    units += ["bfloat16"] if has & {"avx512_bf16", "avx_ne_convert"} else []
    units += ["AMX"] if "amx_bf16" in has else []
    return ", ".join(units) or platform.machine()
