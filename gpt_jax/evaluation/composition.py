"""Pairs for compositional generalisation (data/pairs/composition.py) as evaluation tasks, and the losses on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from gpt_jax.data.pairs.composition import TRAIN, CompositionPair, get_pair
from gpt_jax.data.public_files import Files
from gpt_jax.evaluation.forms import completion_task
from gpt_jax.evaluation.metrics import Estimate
from gpt_jax.evaluation.task import Item, Task
from gpt_jax.intervals import CONFIDENCE, Interval, bootstrap, proportion


def tasks(name: str) -> tuple[Task, ...]:
    """A task for each test part of a pair. An item is right if the greedy completion of its line is its own."""
    pair = get_pair(name)
    return tuple(
        completion_task(
            f"{name}_{split}",
            f"{pair.summary}: {split.replace('_', ', digits: ')}",
            pair.source,
            partial(_items, pair, split),
            pool=partial(_items, pair, TRAIN),
            delimiter="\n",
            max_tokens=pair.most,
            beams=1,
            clip=True,
        )
        for split in pair.splits
    )


def _items(pair: CompositionPair, split: str, files: Files) -> list[Item]:
    return pair.read(files)[split]


def losses(iid: Sequence[bool], ood: Sequence[Sequence[bool]], seed: int = 0) -> dict[str, Estimate]:
    """What is lost out of distribution, with 95 % intervals over the items of every test set.

    `iid` and each of `ood` say which items are right. OOD is the mean of its sets. "gap" is in points. "relative_gap"
    is a part of the IID score, and NaN where that score is 0. Intervals are the bootstrap's. The bootstrap has none
    where all items of every set are right, or all are wrong. Intervals then follow from the exact intervals of the
    sets, which share the error (Bonferroni). These are wider, and never too sure.
    """
    sets = [np.asarray(rows, float) for rows in (iid, *ood)]
    found = {}
    for kind, statistic in (("gap", _gap), ("relative_gap", _relative_gap)):
        interval = bootstrap(statistic, *sets, paired=False, seed=seed)
        if np.isnan(interval.low) and np.isfinite(interval.estimate):
            interval = Interval(interval.estimate, *_from_exact(statistic, sets))
        found[kind] = Estimate(*interval, n=sum(map(len, sets)))
    return found


def _gap(iid: np.ndarray, *ood: np.ndarray) -> np.ndarray:
    """In points, of right (1) and wrong (0) items `(..., n)`."""
    return 100 * (iid.mean(-1) - np.mean([rows.mean(-1) for rows in ood], axis=0))


def _relative_gap(iid: np.ndarray, *ood: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = _gap(iid, *ood) / (100 * iid.mean(-1))
    return np.where(iid.mean(-1) > 0, relative, np.nan)


def _from_exact(statistic: Callable[..., np.ndarray], sets: Sequence[np.ndarray]) -> tuple[float, float]:
    """Limits of a statistic that rises with the first set's proportion and falls with the others'."""
    each = 1 - (1 - CONFIDENCE) / len(sets)
    iid, *ood = (proportion(int(rows.sum()), len(rows), each) for rows in sets)
    ends = ([iid.low, *(p.high for p in ood)], [iid.high, *(p.low for p in ood)])
    low, high = (float(statistic(*(np.asarray([p]) for p in end))) for end in ends)
    return low, high
