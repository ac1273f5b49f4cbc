"""Two stages: how many seeds a claim needs, from the spread of its first ones (Stein 1945).

The number follows from the spread of the first stage's paired differences and from the margin, and from no estimate: so
nobody stops where the figures please, and the same first stage always gives the same plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.experiment import FAILED, Experiment
from experiments.runs.results import read_results
from experiments.verdicts.judge import Judged, judge_all


@dataclass(frozen=True)
class Planned:
    """A primary comparison's second stage: `seeds` is what is run; `needed` pairs in all would do."""

    title: str
    arms: tuple[str, ...]
    margin: float
    sd: float
    first: int
    needed: int
    seeds: tuple[int, ...]

    def __str__(self) -> str:
        text = f"{self.title}: sd {self.sd:.3g} over {self.first} pairs, margin {self.margin:g}: {self.needed} pairs"
        if self.needed > self.first + len(self.seeds):
            return f"{text}, more than the scale's most: {self.first + len(self.seeds)} are run"
        return f"{text} in all" if self.seeds else f"{text} are enough"


def first_stage(experiment: Experiment, scale: str, folder: Path) -> list[Judged]:
    """The comparisons over the scale's own seeds in `folder` (DIR/EXPERIMENT); empty where none of them is finished."""
    own = experiment.scale(scale).seeds
    results = read_results(folder, experiment) if folder.is_dir() else []
    return judge_all([r for r in results if r.scale == scale and r.seed in own], experiment)


def plan(experiment: Experiment, scale: str, judged: Sequence[Judged]) -> list[Planned]:
    """The second stage of each primary comparison of means that the first stage has an interval of.

    Failure rates are over all runs of a grid and have no stage of their own.
    """
    own = experiment.scale(scale)
    return [
        Planned(
            one.comparison.title,
            tuple(dict.fromkeys(arm for arm in (one.treatment, one.control) if arm)),
            one.comparison.margin,
            one.sd,
            one.first,
            one.needed,
            own.further_seeds(one.needed - one.first, experiment.fresh_seeds(scale)),
        )
        for one in judged
        if one.comparison.primary and one.comparison.metric != FAILED and one.needed is not None
        if scale not in one.comparison.fresh
    ]


def second_stage(experiment: Experiment, scale: str, folder: Path) -> list[tuple[str, int]]:
    """The (arm, seed) that the plan adds, seed by seed."""
    planned = plan(experiment, scale, first_stage(experiment, scale, folder))
    wanted = {(seed, arm) for one in planned for seed in one.seeds for arm in one.arms}
    order = list(experiment.arms)
    return [(arm, seed) for seed, arm in sorted(wanted, key=lambda pair: (pair[0], order.index(pair[1])))]


def plan_lines(experiment: Experiment, scale: str, folder: Path) -> list[str]:
    """The plan for people: before the first stage, what it will be; after it, the second stage."""
    own = experiment.scale(scale)
    again = [
        f"{' and '.join(map(repr, titles))}: fresh seeds alone count: {' '.join(words)} makes them"
        for words, titles in experiment.fresh_runs(scale).items()
    ]
    if own.fixed:
        told = f"seeds {own.fixed[0]} to {own.fixed[-1]} count, fixed before any of them was run"
        return [f"{told}: {' '.join(own.run_options)} makes them", *again]
    stage = f"first stage: seeds {', '.join(map(str, own.seeds))}; --to-decide adds seeds up to {own.most_seeds} in all"
    planned = plan(experiment, scale, first_stage(experiment, scale, folder))
    then = map(str, planned) if planned else ["how many follows from the spread of the first stage"]
    return [stage, *then, *again]
