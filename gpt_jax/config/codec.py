"""A config as plain values and back: what is dumped, compared and named by its digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from gpt_jax.config.override import override
from gpt_jax.config.run import RunConfig

TRACKERS = ("training.tensorboard", "training.wandb")


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values, ready for JSON; patterns become the text that `parse_patterns` reads."""
    out = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            out[f.name] = to_dict(value)
        elif f.name == "attention":
            out[f.name] = ", ".join(map(str, value))
        else:
            out[f.name] = value
    return out


def from_dict(values: Mapping[str, Any]) -> RunConfig:
    """The inverse of `to_dict`. Raises `InputError` on keys that do not exist."""
    return override(RunConfig(), flatten(values))


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"n_layer": 2}} -> {"model.n_layer": 2}."""
    out = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out.update(flatten(value, f"{prefix}{key}."))
        else:
            out[f"{prefix}{key}"] = value
    return out


def digest(config: Any) -> str:
    """Sixteen hexadecimal digits that name this config: equal values, equal digest.

    Only what differs from the defaults counts, so that a field added later leaves older digests as they are.
    """
    changed = {key: value for key, (_, value) in differences(type(config)(), config).items()}
    text = json.dumps(changed, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(ours: Any, theirs: Any) -> dict[str, tuple[Any, Any]]:
    """The dotted keys whose values differ, with both values. What decides no number (`decides_numbers`) is left out."""
    a, b = flatten(to_dict(ours)), flatten(to_dict(theirs))
    keys = sorted(filter(decides_numbers, {*a, *b}))
    return {key: (a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)}


def decides_numbers(key: str) -> bool:
    """Whether a setting is part of what a run is. A run may go on with another mesh, and watched by other trackers."""
    return not key.startswith("mesh.") and key not in TRACKERS
