"""What every section of a config is checked for: one line that names the key, the value and what is allowed."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any, Literal

from gpt_jax.errors import InputError, unknown


def require(holds: bool, key: str, value: Any, allowed: str) -> None:
    if not holds:
        raise InputError(f"{key}: {value!r} is not allowed: {allowed}")


def check_sizes(config: Any, section: str, most: Mapping[str, int]) -> None:
    """Whole numbers that are too large for anything but a slip of the hand: `most` gives the bound of each field."""
    for name, bound in most.items():
        value = getattr(config, name)
        require(value is None or value <= bound, f"{section}.{name}", value, f"at most {bound:,}")


def check_values(config: Any, section: str) -> None:
    """Every field annotated with a Literal holds one of its values, and every number is finite."""
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        require(not isinstance(value, float) or math.isfinite(value), f"{section}.{f.name}", value, "a finite number")
    for name, kind in typing.get_type_hints(type(config)).items():
        if typing.get_origin(kind) is Literal:
            value, allowed = getattr(config, name), typing.get_args(kind)
            if value not in allowed:
                raise unknown(f"{section}.{name}", str(value), [str(a) for a in allowed])
