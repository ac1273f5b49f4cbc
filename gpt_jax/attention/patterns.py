"""Which pairs may attend: query `i` and key `j` are positions (tokens), and `j <= i` always.

A pattern is its definition: `allows(i, j)` is the formula of the paper, and `mask(length)` spells it out. That is all
a new pattern needs. One that has a cheap form names it in `parts(length)`, in the vocabulary of parts.py. Everything
faster than the mask is derived from the parts, and `check_pattern` compares the two.

| pattern | i attends j when | pairs per query | where from |
|---|---|---|---|
| `Dense()` | always | i + 1 | GPT-1, GPT-2 |
| `Banded(window=w)` | i - j < w | w | GPT-3, 2.1: alternates with `Dense` |
| `Strided(stride=k)` | i - j <= k, or (i - j) mod k = 0 | about k + i/k | Child et al. 2019, 4.2: A1 and A2 united |
| `Fixed(block=l, summary=c)` | floor(j/l) = floor(i/l), or j mod l >= l - c | up to l + c i/l | there too |
| `LogSparse(window=w)` | i - j < w, or i - j is a power of two | w + log2 i | Li et al. 2019: O(n log n) |
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from gpt_jax.attention.parts import Band, Columns, Distances, Part, Prefix, Rows, causal
from gpt_jax.errors import InputError, unknown

PATTERNS: dict[str, type[Pattern]] = {}  # by name; each subclass of Pattern enters itself


@dataclass(frozen=True)
class Pattern:
    """A causal attention pattern. A subclass is a frozen dataclass with `allows`, and maybe with `parts`.

    Its fields are whole numbers of at least 1; a subclass with fields of other kinds checks them in a `__post_init__`
    of its own. They are written into configs as text, so they hold numbers, text or tuples of these.
    """

    def __init_subclass__(cls, **arguments: Any):
        """Enters the class by its name, which configs are read by. The same class may be defined again, as a notebook's
        cell does; another one of the same name raises `InputError`."""
        super().__init_subclass__(**arguments)
        known = PATTERNS.get(cls.__name__, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise InputError(
                f"attention pattern {cls.__name__!r} of {cls.__module__} is not allowed: {known.__module__} has one of "
                "this name, and configs name patterns by it"
            )
        PATTERNS[cls.__name__] = cls

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                name = type(self).__name__
                raise InputError(f"{name}.{field.name}: {value!r} is not allowed: a whole number of at least 1")

    def __str__(self) -> str:
        """What `parse_patterns` reads: "Banded(window=256)"."""
        values = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
        return f"{type(self).__name__}({values})"

    def allows(self, i: Any, j: Any) -> Any:
        """True where query position `i` may attend key position `j`: integer arrays that broadcast.

        Every query attends itself, and none attends the future. Only operators are used (`&` and `|` for "and" and
        "or"), so NumPy and JAX arrays (traced ones too) both work.
        """
        raise NotImplementedError(f"{type(self).__name__} has no allows(i, j)")

    def parts(self, length: int) -> tuple[Part, ...] | None:
        """Disjoint parts that together hold the allowed pairs among `length` tokens; None where there is no cheap form.

        Without parts, a pattern is computed through its mask, at dense cost.
        """
        return None

    def mask(self, length: int) -> np.ndarray:
        """The whole pattern: bool `(length, length)`, queries by keys."""
        i, j = np.arange(length)[:, None], np.arange(length)[None, :]
        return self.allows(i, j)


@dataclass(frozen=True)
class Dense(Pattern):
    """Every token attends all tokens up to itself."""

    def allows(self, i, j):
        return j <= i

    def parts(self, length):
        return (causal(length),)


@dataclass(frozen=True)
class Banded(Pattern):
    """A query attends the `window` newest tokens, with its own. GPT-3 does not publish the width; 256 is ours."""

    window: int

    def allows(self, i, j):
        return (j <= i) & (i - j < self.window)

    def parts(self, length):
        return (Band(self.window),)


@dataclass(frozen=True)
class Strided(Pattern):
    """A query attends distances up to `stride`, and multiples of `stride`: locally dense, remotely sparse."""

    stride: int

    def allows(self, i, j):
        return (j <= i) & ((i - j <= self.stride) | ((i - j) % self.stride == 0))

    def parts(self, length):
        """Distances 0 .. stride in a band; 2 stride, 3 stride, ... in columns, where stride is 1.

        Distances 0 and stride are in both of the pattern's sets, and are counted once: by the band.
        """
        return Band(self.stride + 1), Columns(self.stride, causal(-(-length // self.stride), skip=2))


@dataclass(frozen=True)
class Fixed(Pattern):
    """A query attends its own block of `block` tokens, and the last `summary` tokens of every block."""

    block: int
    summary: int

    def __post_init__(self):
        super().__post_init__()
        if self.summary > self.block:
            raise InputError(f"Fixed.summary: {self.summary} is not allowed: at most block, {self.block}")

    def allows(self, i, j):
        same_block = j // self.block == i // self.block
        return (j <= i) & (same_block | (j % self.block >= self.block - self.summary))

    def parts(self, length):
        """Its own block, and the `summary` last keys of every block before."""
        before = np.arange(length) // self.block * self.summary
        return Rows(self.block, causal(self.block)), Prefix(before, last=self.summary, every=self.block)


@dataclass(frozen=True)
class LogSparse(Pattern):
    """A query attends the `window` newest tokens, and those at distances 1, 2, 4, 8 and so on."""

    window: int

    def allows(self, i, j):
        distance = i - j
        power_of_two = (distance > 0) & ((distance & (distance - 1)) == 0)
        return (j <= i) & ((distance < self.window) | power_of_two)

    def parts(self, length):
        """The window in a band, and the powers of two that it does not hold, one by one."""
        far = (2**p for p in range(length.bit_length()))
        return Band(self.window), Distances(tuple(d for d in far if self.window <= d < length))


@lru_cache(maxsize=256)
def check_pattern(pattern: Pattern, length: int) -> None:
    """Raises `InputError` unless `pattern` is causal and its parts hold each allowed pair of `length` tokens once.

    The check looks at every pair. A config calls it for a short length. The test of a new pattern calls it for many.
    """
    i, j = np.arange(length)[:, None], np.arange(length)[None, :]
    mask = np.broadcast_to(np.asarray(pattern.mask(length), bool), (length, length))
    _refuse(pattern, ~mask & (i == j), "allows(i, j) must let every query attend itself, and does not at")
    _refuse(pattern, mask & (j > i), "allows(i, j) must not let a query attend the future (j <= i), and does at")
    parts = pattern.parts(length)
    if parts is None:
        return
    held = np.zeros((length, length), int)
    for part in parts:
        before = held.sum()
        for query, keys in enumerate(part.keys(np.arange(length), length)):
            np.add.at(held[query], keys[(keys >= 0) & (keys < length)], 1)
        counted = held.sum() - before
        if counted != part.pairs(length):
            raise InputError(f"{pattern}: {part}: holds {counted} of {length} tokens' pairs, not {part.pairs(length)}")
    _refuse(pattern, mask & (held == 0), f"parts({length}) must hold every allowed pair, and lacks")
    _refuse(pattern, ~mask & (held > 0), f"parts({length}) must hold allowed pairs only, and holds")
    _refuse(pattern, held > 1, f"parts({length}) must hold each pair once, and holds twice")


def _refuse(pattern: Pattern, wrong: np.ndarray, what: str) -> None:
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        raise InputError(f"attention pattern {pattern}: {what} query {i}, key {j}")


def parse_patterns(text: str) -> tuple[Pattern, ...]:
    """Reads what `str` writes: `"Dense(), Banded(window=256)"` -> `(Dense(), Banded(window=256))`.

    Positional arguments and a bare name without arguments are read too. Raises `InputError`.
    """
    allowed = "for example Dense(), Banded(window=256)"
    try:
        tree = ast.parse(f"[{text}]", mode="eval").body
    except SyntaxError:
        raise InputError(f"attention: {text!r} is not a list of patterns: {allowed}") from None
    nodes = tree.elts if isinstance(tree, ast.List) else [tree]
    if len(nodes) == 1 and isinstance(nodes[0], (ast.Tuple, ast.List)):
        nodes = nodes[0].elts
    return tuple(_pattern(node, text, allowed) for node in nodes)


def _pattern(node: ast.expr, text: str, allowed: str) -> Pattern:
    call = node if isinstance(node, ast.Call) else ast.Call(func=node, args=[], keywords=[])
    if not isinstance(call.func, ast.Name):
        raise InputError(f"attention: {text!r} is not a list of patterns: {allowed}")
    name = call.func.id
    if name not in PATTERNS:
        raise unknown("attention pattern", name, PATTERNS)
    try:
        arguments = [ast.literal_eval(argument) for argument in call.args]
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
        return PATTERNS[name](*arguments, **keywords)
    except InputError:
        raise
    except (TypeError, ValueError):
        signature = ", ".join(field.name for field in fields(PATTERNS[name]))
        raise InputError(f"attention: {text!r}: {name} takes ({signature})") from None
