"""The entropy of single tokens: what a model that ignores its context can reach at best."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def validation_entropy(corpus: Any) -> float:
    """The unigram entropy (nats/token) of a corpus's validation targets."""
    from gpt_jax.data.pipeline import validation_batches

    return entropy(validation_batches(corpus, batch_size=64, max_tokens=None))


def entropy(batches: Iterable[np.ndarray]) -> float:
    """`-sum_v p_v log p_v` of the scored targets in `batches`, int32 `(B, T + 1)`, padded with -1."""
    count_V = np.zeros(0, np.int64)
    for tokens_BT1 in batches:
        targets = tokens_BT1[:, 1:]
        found_V = np.bincount(targets[targets >= 0])
        size = max(len(count_V), len(found_V))
        count_V = np.pad(count_V, (0, size - len(count_V))) + np.pad(found_V, (0, size - len(found_V)))
    p_V = count_V[count_V > 0] / count_V.sum()
    return float(-(p_V * np.log(p_V)).sum())
