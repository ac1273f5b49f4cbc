"""The same bits from two runs on one kind of device.

A CPU and a TPU give the same bits anyway. On a GPU, XLA times several programs for a product and keeps the fastest,
which may be another one the next time, and some of its sums are in the order in which threads finish. The flags below
turn both off: products are slower, and repeat.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

FLAGS = ("--xla_gpu_deterministic_ops=true", "--xla_gpu_autotune_level=0")


def make_deterministic() -> None:
    """Adds `FLAGS` to XLA_FLAGS, which environment.json records. Call it before JAX starts."""
    now = os.environ.get("XLA_FLAGS", "").split()
    os.environ["XLA_FLAGS"] = " ".join([*now, *(flag for flag in FLAGS if flag not in now)])


def was_deterministic(environment: Mapping[str, Any]) -> bool:
    """Whether the run of this environment.json was made with `FLAGS`."""
    return set(FLAGS) <= set(str(environment.get("xla_flags") or "").split())
