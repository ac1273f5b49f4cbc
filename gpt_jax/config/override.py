"""The only way to change a config by name: the command line, sweeps and notebooks share it."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from gpt_jax.attention.patterns import Pattern, parse_patterns
from gpt_jax.config.checks import require
from gpt_jax.config.run import RunConfig
from gpt_jax.errors import unknown


def override(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """`config` with `changes` by dotted key, for example `{"model.n_layer": 6, "optimizer.b2": "0.95"}`.

    Text is read as the field's type ("1e6" and "1_000_000" are whole numbers). All changes apply at once,
    so that fields which must agree can change together. Raises `InputError` on an unknown key or a value
    of another type.
    """
    sections = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    keys = [f"{name}.{f.name}" for name, section in sections.items() for f in dataclasses.fields(section)]
    changed: dict[str, dict[str, Any]] = {name: {} for name in sections}
    for key, value in changes.items():
        section, _, name = key.partition(".")
        if key not in keys:
            raise unknown("key", key, [k for k in keys if k.startswith(f"{section}.")] or keys)
        kind = _types(type(sections[section]))[name]
        changed[section][name] = _read(key, value, kind)
    return dataclasses.replace(
        config, **{name: dataclasses.replace(sections[name], **values) for name, values in changed.items() if values}
    )


@cache
def _types(section: type) -> dict[str, Any]:
    return typing.get_type_hints(section)


def _read(key: str, value: Any, kind: Any) -> Any:
    """`value` as the annotated type `kind`, or an InputError that names `key`."""
    if kind == tuple[Pattern, ...]:
        return parse_patterns(value) if isinstance(value, str) else value
    if typing.get_origin(kind) is Literal:
        return str(value)
    choices = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if types.NoneType in choices and (value is None or str(value).lower() == "none"):
        return None
    kind = next(c for c in choices if c is not types.NoneType)
    reader = {int: _whole, float: _number, bool: _truth, str: _text}[kind]
    result = reader(value)
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    require(result is not None, key, value, names[kind] + (", or none" if len(choices) > 1 else ""))
    return result


def _whole(value: Any) -> int | None:
    number = _number(value)
    if number is None or number != number or abs(number) == float("inf") or number != int(number):
        return None
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdigit()) else int(number)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _truth(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
