"""The cheap form of a pattern: parts, each of which is computed without looking at every pair.

A part says which keys query i attends, as a pattern does, but in one of a few shapes that have a fast computation:

| part | query i attends |
|---|---|
| `Prefix(visible)` | the first `visible[i]` keys |
| `Prefix(visible, last=c, every=l)` | the first `visible[i]` of those keys that are the last c of every l |
| `Band(width)` | the newest `width` keys, itself among them |
| `Distances(back)` | the keys i - d, for each d in `back` |
| `Rows(width, part)` | what `part` says within the query's row, where a row is `width` tokens that follow each other |
| `Columns(width, part)` | what `part` says within the query's column: the tokens at distances that `width` divides |

The parts of a pattern must be disjoint, and together they must hold the pairs that `allows` names; `check_pattern`
(patterns.py) compares the two. Everything else reads the parts alone: the block computation (block.py), the number of
pairs (costs.py), the fused kernels (kernels/) and what a cache keeps and reads (model/cache.py). Each part has:

- `pairs(length)`: how many pairs it holds among `length` tokens;
- `keys(i, length)`: the positions that the queries at positions `i` attend, in a new last axis, each at most once, and
  negative where there is none. Only operators are used, so NumPy and JAX arrays (traced ones too) both work;
- `reach(length)`: how many of the newest tokens hold every key that any query attends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Prefix:
    """Query i attends the first `visible[i]` of the keys; `visible` never decreases, and may start with zeros.

    With `last` and `every`, only the last `last` keys of every `every` count as keys. `visible` holds a number for
    each query, and may hold more: those of the first `length` queries are read.
    """

    visible: np.ndarray
    last: int = 1
    every: int = 1

    def pairs(self, length: int) -> int:
        return int(self.visible[:length].sum())

    def keys(self, i: Any, length: int) -> Any:
        count = np.arange(self.visible[length - 1])
        position = count // self.last * self.every + self.every - self.last + count % self.last
        first = np.searchsorted(self.visible, count, side="right")  # the first query that sees each key
        return _where(i[..., None] >= first, position)

    def reach(self, length: int) -> int:
        return length


@dataclass(frozen=True)
class Band:
    """Query i attends the newest `width` keys, i - width + 1 .. i."""

    width: int

    def pairs(self, length: int) -> int:
        width = min(self.width, length)
        return length * width - width * (width - 1) // 2

    def keys(self, i: Any, length: int) -> Any:
        return i[..., None] - np.arange(min(self.width, length))

    def reach(self, length: int) -> int:
        return self.width


@dataclass(frozen=True)
class Distances:
    """Query i attends the keys i - d, for each d in `back`."""

    back: tuple[int, ...]

    def pairs(self, length: int) -> int:
        return sum(max(0, length - d) for d in self.back)

    def keys(self, i: Any, length: int) -> Any:
        return i[..., None] - np.array([d for d in self.back if d < length], int)

    def reach(self, length: int) -> int:
        return 1 + max((d for d in self.back if d < length), default=0)


@dataclass(frozen=True)
class Rows:
    """Time cut into rows of `width` tokens; within its row, each query attends what `part` says."""

    width: int
    part: Part

    def pairs(self, length: int) -> int:
        whole, rest = divmod(length, self.width)
        return whole * self.part.pairs(self.width) + self.part.pairs(rest)

    def keys(self, i: Any, length: int) -> Any:
        row, column = i[..., None] // self.width, i % self.width
        keys = self.part.keys(column, min(self.width, length))
        return _where(keys >= 0, row * self.width + keys)

    def reach(self, length: int) -> int:
        return self.part.reach(min(self.width, length))


@dataclass(frozen=True)
class Columns:
    """Time cut into rows of `width` tokens; within its column of them, each query attends what `part` says."""

    width: int
    part: Part

    def pairs(self, length: int) -> int:
        whole, rest = divmod(length, self.width)
        return rest * self.part.pairs(whole + 1) + (self.width - rest) * self.part.pairs(whole)

    def keys(self, i: Any, length: int) -> Any:
        row, column = i // self.width, i[..., None] % self.width
        keys = self.part.keys(row, -(-length // self.width))
        return _where(keys >= 0, keys * self.width + column)

    def reach(self, length: int) -> int:
        return (self.part.reach(-(-length // self.width)) - 1) * self.width + 1


Part = Prefix | Band | Distances | Rows | Columns


def causal(length: int, skip: int = 0) -> Prefix:
    """Query i attends every key up to itself, and with `skip`, all of those but the newest `skip`."""
    return Prefix(np.maximum(np.arange(length) + 1 - skip, 0))


def _where(holds: Any, position: Any) -> Any:
    """`position` where it holds, else -1; by operators alone, since the arrays may be NumPy's or JAX's."""
    return holds * (position + 1) - 1
