"""Loss on the same tokens, by position, for models of any context. It shows what a longer context gains, and where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from experiments.experiment import FinishedRun
from gpt_jax.config import ModelConfig

WINDOW = 1024  # tokens: every model is scored on windows of this length
HALF = WINDOW // 2
BUCKET = 64  # tokens of one point of the profile
BATCH = 8  # windows


def loss_by_position(run: FinishedRun) -> dict[str, float | list[float]]:
    """Nats/token of `run`'s model on the validation split, cut into windows of `WINDOW` tokens.

    A model of a shorter context reads each window in chunks, and has no history at the start of a chunk.
    The mean is over all tokens ("same_tokens/loss"), over the first `HALF` positions, where both have the same history
    ("..._first_half"), over the rest ("..._second_half"), and per `BUCKET` positions ("..._by_position").
    """
    from gpt_jax.data.pipeline import validation_batches
    from gpt_jax.data.prepare import prepare

    config = run.config
    corpus = prepare(config.data, vocab_size=config.model.vocab_size, context_length=WINDOW, data_dir=run.data_dir)
    batches = validation_batches(corpus, batch_size=BATCH, max_tokens=config.training.evaluation_tokens)
    return summary(*score(config.model, run.params, batches))


def score(model: ModelConfig, params: Any, batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Sums of nats (float64) and counts of scored tokens by position, `(WINDOW,)` each.

    `batches` are int32 `(B, WINDOW + 1)`, padded with -1, which is not scored.
    """
    from gpt_jax.evaluation.perplexity import token_losses

    length = min(model.context_length, WINDOW)
    nats_T, count_T = np.zeros(WINDOW), np.zeros(WINDOW, np.int64)
    for tokens_BT1 in batches:
        for start in range(0, WINDOW, length):
            chunk_BC1 = tokens_BT1[:, start : start + length + 1]
            place = slice(start, start + chunk_BC1.shape[1] - 1)
            scored_BC = chunk_BC1[:, 1:] >= 0
            losses_BC = np.asarray(token_losses(model, params, chunk_BC1), np.float64)
            nats_T[place] += np.where(scored_BC, losses_BC, 0).sum(axis=0)
            count_T[place] += scored_BC.sum(axis=0)
    return nats_T, count_T


def summary(nats_T: np.ndarray, count_T: np.ndarray) -> dict[str, float | list[float]]:
    """The means that `loss_by_position` names; NaN where no token was scored."""

    def mean(part: slice) -> float:
        count = int(count_T[part].sum())
        return float(nats_T[part].sum()) / count if count else float("nan")

    return {
        "same_tokens/loss": mean(slice(None)),
        "same_tokens/loss_first_half": mean(slice(HALF)),
        "same_tokens/loss_second_half": mean(slice(HALF, None)),
        "same_tokens/loss_by_position": [mean(slice(at, at + BUCKET)) for at in range(0, WINDOW, BUCKET)],
    }
