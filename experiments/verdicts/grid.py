"""Where in its grid the best cell of a sweep lies: at an edge, a better one may lie beyond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.runs.results import Result


def edges(results: Sequence[Result], arms: Sequence[str], best: str) -> list[str]:
    """Each setting whose value in the arm `best` is the highest or the lowest of the sweep's `arms`, in words.

    A lowest value of 0 is no edge: nothing lies below it. Settings that are no numbers have no edge.
    """
    settings: dict[str, Mapping[str, Any]] = {}
    for result in results:
        if result.arm in arms and result.arm not in settings:
            settings[result.arm] = result.settings()
    found = []
    for key in sorted(settings.get(best, {})):
        numbers = {arm: values.get(key) for arm, values in settings.items()}
        values = sorted({v for v in numbers.values() if isinstance(v, int | float) and not isinstance(v, bool)})
        ours = numbers[best]
        if key == "training.seed" or len(values) < 2 or ours not in values:
            continue
        if ours == values[-1] or ours == values[0] != 0:
            side = "highest" if ours == values[-1] else "lowest"
            found.append(f"{key} {ours:g} is the {side} of {', '.join(f'{value:g}' for value in values)}")
    return found
