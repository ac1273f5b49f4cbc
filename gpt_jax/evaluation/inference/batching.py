"""Which rows run together, and how far each is padded: few lengths, as each is a program of its own."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

STEP = 8  # tokens between the lengths that `fitted` may add


def power_of_two(count: int) -> int:
    """The next power of two."""
    return 1 << (count - 1).bit_length()


def bucket(length: int) -> int:
    """The next of 16, 24, 32, 48, 64, 96, ...: few lengths, few compilations, at most half of it padding."""
    size = max(16, power_of_two(length))
    return size * 3 // 4 if length <= size * 3 // 4 and size > 16 else size


def fitted(lengths: Sequence[int], worth: float) -> Callable[[int], int]:
    """`bucket`, with further multiples of 8 where they pay: how far a row of one of `lengths` is padded.

    A further length pays where it saves `worth` tokens of padding. Padding and `worth` for each further length are
    together as few as they can be; among equals, lengths are few. With `worth` infinite, this is `bucket`.
    """
    rows: dict[int, Counter[int]] = {}
    for length in lengths:
        rows.setdefault(bucket(length), Counter())[-(-length // STEP) * STEP] += 1
    widths = sorted(width for top, counts in rows.items() for width in _widths(top, counts, worth))
    return lambda length: widths[bisect_left(widths, length)]


def _widths(top: int, rows: Counter[int], worth: float) -> tuple[int, ...]:
    """The widths for the rows of one bucket, `top`; `rows` counts them by length, in whole steps.

    By dynamic programming: `best` has the cheapest widths for the rows up to each width, which is then the last.
    """
    best: dict[int, tuple[float, int, tuple[int, ...]]] = {0: (0.0, 0, ())}  # cost in tokens, how many, which
    for width in sorted({*rows, top}):
        extra, options = 0.0 if width == top else worth, []
        for below, (cost, count, widths) in best.items():
            padded = width * sum(number for length, number in rows.items() if below < length <= width)
            options.append((cost + extra + padded, count + 1, (*widths, width)))
        best[width] = min(options)
    return min(option for width, option in best.items() if width >= max(rows))[2]


def batches(items: Sequence[Any], kind: Callable[[Any], tuple[int, Any]], tokens: int) -> list[list[Any]]:
    """Items of one kind, `(length, ...)`, together, at most `tokens` in all, the longest first."""
    kinds: dict[tuple[int, Any], list[Any]] = {}
    for item in items:
        kinds.setdefault(kind(item), []).append(item)
    made: list[list[Any]] = []
    for (length, _), same in sorted(kinds.items(), reverse=True):
        count = 1 << (max(1, tokens // length).bit_length() - 1)
        made += [same[n : n + count] for n in range(0, len(same), count)]
    return made
