"""Sweeps are arms: a mapping from a name to its overrides. Strict about keys that do not exist or clash.

>>> product(axis("model.norm", {"pre": "pre", "post": "post"}), axis("model.n_layer", {"L2": 2, "L6": 6}))["pre-L6"]
{'model.norm': 'pre', 'model.n_layer': 6}

A value may be a function of the base config, for what scales with it: `lambda base: base.training.train_tokens // 20`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product as cartesian
from typing import Any, TypeVar

from gpt_jax.config import RunConfig, flatten, to_dict
from gpt_jax.errors import InputError, unknown

Arms = dict[str, dict[str, Any]]
Run = TypeVar("Run")
KEYS = tuple(flatten(to_dict(RunConfig())))


def checked(arms: Mapping[str, Mapping[str, Any]]) -> Arms:
    """`arms`, each of whose keys names a field of `RunConfig`. Raises `InputError`."""
    for overrides in arms.values():
        for key in overrides:
            if key not in KEYS:
                raise unknown("key", key, KEYS)
    return {name: dict(overrides) for name, overrides in arms.items()}


def section(name: str, **fields: Any) -> dict[str, Any]:
    """Settings of one section of `RunConfig`: `section("model", n_layer=4)` is `{"model.n_layer": 4}`."""
    return {f"{name}.{field}": value for field, value in fields.items()}


def axis(key: str, values: Mapping[str, Any]) -> Arms:
    """One arm per value of one key; the mapping's keys are the arms' names."""
    return checked({name: {key: value} for name, value in values.items()})


def product(*sweeps: Mapping[str, Mapping[str, Any]]) -> Arms:
    """Every combination; names are joined by "-". No key may be set by two of the sweeps."""
    return _joined(cartesian(*(sweep.items() for sweep in sweeps)))


def zipped(*sweeps: Mapping[str, Mapping[str, Any]]) -> Arms:
    """The first arms of all together, the second of all, ...: sweeps of one length."""
    lengths = [len(sweep) for sweep in sweeps]
    if len(set(lengths)) > 1:
        raise InputError(f"zipped: sweeps of {lengths} arms are not allowed: all of one length")
    return _joined(zip(*(sweep.items() for sweep in sweeps), strict=True))


def chain(*sweeps: Mapping[str, Mapping[str, Any]]) -> Arms:
    """All arms of all sweeps. No two may share a name."""
    arms: Arms = {}
    for sweep in sweeps:
        for name, overrides in checked(sweep).items():
            if name in arms:
                raise InputError(f"chain: arm {name!r} is there twice: names must differ")
            arms[name] = overrides
    return arms


def shard(runs: Sequence[Run], part: tuple[int, int]) -> Sequence[Run]:
    """Part i of n of a sweep's runs, from 1, for machines that share nothing.

    The parts are neighbours and differ by one run at most. A sweep goes seed by seed, so a part has whole pairs but
    for its two ends.
    """
    (number, count), size = part, len(runs)
    return runs[size * (number - 1) // count : size * number // count]


def _joined(combinations: Iterable[tuple[tuple[str, Mapping[str, Any]], ...]]) -> Arms:
    arms: Arms = {}
    for combination in combinations:
        name = "-".join(name for name, _ in combination)
        merged: dict[str, Any] = {}
        for _, overrides in combination:
            for key, value in overrides.items():
                if key in merged:
                    raise InputError(f"key {key!r} is set by two sweeps of arm {name!r}: each key by one")
                merged[key] = value
        if name in arms:
            raise InputError(f"arm {name!r} is there twice: names must differ")
        arms[name] = merged
    return checked(arms)
