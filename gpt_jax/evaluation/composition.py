"""Pairs for compositional generalisation (data/pairs/composition.py) as evaluation tasks, and what is lost by them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from gpt_jax.data.pairs.composition import TRAIN, CompositionPair, get_pair
from gpt_jax.data.public_files import Files
from gpt_jax.evaluation.forms import completion_task
from gpt_jax.evaluation.metrics import CONFIDENCE, RESAMPLES, Estimate
from gpt_jax.evaluation.task import Item, Task
from gpt_jax.finetuning.shifts import gaps


def tasks(name: str) -> tuple[Task, ...]:
    """A task for each test part of a pair: right where the greedy completion, to the end of its line, is the item's."""
    pair = get_pair(name)
    return tuple(
        completion_task(
            f"{name}_{split}", f"{pair.summary}: {split.replace('_', ', digits: ')}", pair.source,
            partial(_items, pair, split), pool=partial(_items, pair, TRAIN), delimiter="\n", max_tokens=pair.most,
            beams=1, clip=True,
        )
        for split in pair.splits
    )  # fmt: skip


def _items(pair: CompositionPair, split: str, files: Files) -> list[Item]:
    return pair.read(files)[split]


def losses(iid: Sequence[bool], ood: Sequence[Sequence[bool]], seed: int = 0) -> dict[str, Estimate]:
    """What is lost out of distribution, with bootstrap intervals over the items of every test set.

    `iid` and each of `ood` say which items are right; OOD is the mean of its sets. "gap" is in points, "relative_gap"
    a part of the IID score (NaN where that is 0).
    """
    rng, sets = np.random.default_rng(seed), [np.asarray(rows, float) for rows in (iid, *ood)]

    def lost(means: Sequence[float]) -> tuple[float, float]:
        return gaps(100 * means[0], 100 * float(np.mean(means[1:])))

    value = lost([float(rows.mean()) for rows in sets])
    drawn = np.array([
        lost([float(rows[rng.integers(0, len(rows), len(rows))].mean()) for rows in sets]) for _ in range(RESAMPLES)
    ])  # fmt: skip
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.quantile(drawn, tails, axis=0)  # NaN where a resample has no right answer
    count = sum(map(len, sets))
    return {
        kind: Estimate(value[n], float(low[n]), float(high[n]), count) for n, kind in enumerate(("gap", "relative_gap"))
    }
