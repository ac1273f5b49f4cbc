"""Which pairs may attend: query `i` and key `j` are positions (tokens), and `j <= i` always.

A pattern is its definition: `allows(i, j)` is the formula of the paper, and `mask(length)` spells it out.
Everything faster (block_attention.py, cache.py) is checked against it.

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
from typing import Any

import numpy as np

from gpt_jax.errors import InputError, unknown


@dataclass(frozen=True)
class Pattern:
    """A causal attention pattern. Subclasses give `allows`; `i` and `j` are integer arrays that broadcast.

    `allows` uses only operators, so NumPy and JAX arrays (traced ones too) both work.
    """

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                name = type(self).__name__
                raise InputError(f"{name}.{field.name}: {value!r} is not allowed: a whole number of at least 1")

    def allows(self, i: Any, j: Any) -> Any:
        """True where query position `i` may attend key position `j`."""
        raise NotImplementedError

    def mask(self, length: int) -> np.ndarray:
        """The whole pattern: bool `(length, length)`, queries by keys."""
        i, j = np.arange(length)[:, None], np.arange(length)[None, :]
        return self.allows(i, j)


@dataclass(frozen=True)
class Dense(Pattern):
    """Every token attends all tokens up to itself."""

    def allows(self, i, j):
        return j <= i


@dataclass(frozen=True)
class Banded(Pattern):
    """The `window` newest tokens, itself among them. GPT-3 does not publish its width; 256 is ours."""

    window: int

    def allows(self, i, j):
        return (j <= i) & (i - j < self.window)


@dataclass(frozen=True)
class Strided(Pattern):
    """Locally dense, remotely sparse: distances up to `stride`, and its multiples."""

    stride: int

    def allows(self, i, j):
        return (j <= i) & ((i - j <= self.stride) | ((i - j) % self.stride == 0))


@dataclass(frozen=True)
class Fixed(Pattern):
    """Its own block of `block` tokens, and the last `summary` tokens of every block."""

    block: int
    summary: int

    def __post_init__(self):
        super().__post_init__()
        if self.summary > self.block:
            raise InputError(f"Fixed.summary: {self.summary} is not allowed: at most block, {self.block}")

    def allows(self, i, j):
        same_block = j // self.block == i // self.block
        return (j <= i) & (same_block | (j % self.block >= self.block - self.summary))


@dataclass(frozen=True)
class LogSparse(Pattern):
    """The `window` newest tokens, and those at distances 1, 2, 4, 8, ..."""

    window: int

    def allows(self, i, j):
        distance = i - j
        power_of_two = (distance > 0) & ((distance & (distance - 1)) == 0)
        return (j <= i) & ((distance < self.window) | power_of_two)


PATTERNS: dict[str, type[Pattern]] = {p.__name__: p for p in (Dense, Banded, Strided, Fixed, LogSparse)}


def parse_patterns(text: str) -> tuple[Pattern, ...]:
    """Reads what `repr` writes: `"Dense(), Banded(window=256)"` -> `(Dense(), Banded(window=256))`.

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
