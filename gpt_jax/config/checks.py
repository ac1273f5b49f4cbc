"""The checks of a config's sections. An error is one line that names the key, the value and what is allowed."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable
from typing import Any, Literal

from gpt_jax.errors import InputError, require_unicode, unknown

MOST = 10**14  # of any whole number: three hundred times the tokens of GPT-3's training


def require(holds: bool, key: str, value: Any, allowed: str) -> None:
    """Raises `InputError` where `holds` is false."""
    if not holds:
        raise InputError(f"{key}: {value!r} is not allowed: {allowed}")


class Checks:
    """Checks of one section's fields, by name: `Checks(config, "model").at_least(1, "n_layer", "n_head")`.

    A field whose type allows None may be None. A number of NumPy becomes Python's. Made first, it sees to it that each
    field annotated with a Literal holds one of its values, that every text is valid Unicode and every number finite,
    and that no whole number is more than `MOST`. Every check raises `InputError`.
    """

    def __init__(self, config: Any, section: str):
        self._config, self._section = config, section
        self._kinds = typing.get_type_hints(type(config))
        for name, kind in self._kinds.items():
            value = getattr(config, name)
            if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:  # which JSON does not know
                value = value.item()
                object.__setattr__(config, name, value)
            if typing.get_origin(kind) is Literal and value not in typing.get_args(kind):
                raise unknown(f"{section}.{name}", str(value), [str(allowed) for allowed in typing.get_args(kind)])
            if isinstance(value, str):
                require_unicode(value, f"{section}.{name}")
            self.that(name, not isinstance(value, float) or math.isfinite(value), "a finite number")
            if isinstance(value, int):
                self.at_most(MOST, name)

    def that(self, name: str, holds: bool, allowed: str) -> None:
        """`holds` is what must be true of the field `name`."""
        require(holds, f"{self._section}.{name}", getattr(self._config, name), allowed)

    def at_least(self, least: float, *names: str) -> None:
        self._each(names, lambda value: value >= least, f"at least {least:g}")

    def at_most(self, most: int, *names: str) -> None:
        self._each(names, lambda value: value <= most, f"at most {most:,}")

    def above(self, bound: float, *names: str) -> None:
        self._each(names, lambda value: value > bound, f"more than {bound:g}")

    def rates(self, *names: str) -> None:
        self._each(names, lambda value: 0 <= value < 1, "0 <= value < 1")

    def _each(self, names: tuple[str, ...], holds: Callable[[Any], bool], allowed: str) -> None:
        for name in names:
            kind, value = self._kinds[name], getattr(self._config, name)
            optional = isinstance(kind, types.UnionType) and types.NoneType in typing.get_args(kind)
            self.that(name, optional if value is None else holds(value), allowed + (", or none" if optional else ""))
