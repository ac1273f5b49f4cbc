"""How long a whole sweep still takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from experiments.runs.kinds import kind_of
from gpt_jax.config import RunConfig
from gpt_jax.model.costs import train_flops_per_token


def costs(configs: Sequence[RunConfig]) -> list[float]:
    """What each run costs, in proportion: its FLOP, or 1 for all of them if only their data tells their tokens."""
    flops = [kind_of(config).tokens(config) * train_flops_per_token(config.model) for config in configs]
    return flops if all(flops) else [1.0] * len(flops)


class Pace:
    """Counts the work that a sweep has done. Every run is expected to go as fast, by its cost, as the runs so far.

    What a run had done before this command goes on with it is neither work of this command nor left to do.
    """

    def __init__(self, costs: Sequence[float], clock: Callable[[], float] = time.monotonic):
        self._costs, self._clock, self._began = costs, clock, clock()
        self._shares = [0.0] * len(costs)  # done of each run
        self._before: list[float | None] = [None] * len(costs)  # of these, before this command
        self.ended = 0

    def progress(self, number: int, share: float) -> None:
        """Run `number` has done this share, from 0 to 1. Its first call says where the run began."""
        if self._before[number] is None:
            self._before[number] = share
        self._shares[number] = share

    def end(self, number: int) -> None:
        """Run `number` is over, whatever came of it."""
        self.progress(number, self._shares[number])
        self._shares[number] = 1.0
        self.ended += 1

    @property
    def share(self) -> float:
        """The part of the sweep that is done, from 0 to 1."""
        return self._sum(self._shares) / max(sum(self._costs), 1e-300)

    @property
    def seconds_left(self) -> float | None:
        """None before anything is done."""
        done = self._sum([share - (before or 0.0) for share, before in zip(self._shares, self._before, strict=True)])
        left = self._sum([1 - share for share in self._shares])
        return (self._clock() - self._began) / done * left if done > 0 else None

    def _sum(self, shares: Sequence[float]) -> float:
        return sum(cost * share for cost, share in zip(self._costs, shares, strict=True))

    def __str__(self) -> str:
        """ "3 of 10 runs; about 12 min left"."""
        counted = f"{self.ended} of {len(self._costs)} runs"
        if self.ended == len(self._costs):
            return counted
        left = self.seconds_left
        return f"{counted}; {'what is left is not known yet' if left is None else f'about {duration(left)} left'}"


def duration(seconds: float) -> str:
    """Seconds for people: 5,000 is "1 h 23 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
