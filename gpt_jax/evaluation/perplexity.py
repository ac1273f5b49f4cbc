"""How well a model predicts text: nats per token, bits per byte."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

import jax
import numpy as np

from gpt_jax.config import ModelConfig
from gpt_jax.model import language_model
from gpt_jax.training import objectives


@partial(jax.jit, static_argnums=0)
def token_losses(config: ModelConfig, params, tokens_BT1: jax.Array) -> jax.Array:
    """`-log P` of each next token, nats, float32 `(B, T)`; 0 where the target is padding (below 0)."""
    logits_BTV = language_model(config).apply({"params": params}, tokens_BT1[:, :-1])
    return objectives.token_losses(logits_BTV, tokens_BT1[:, 1:])  # type: ignore[arg-type]


def mean_loss(config: ModelConfig, params, batches: Iterable[np.ndarray]) -> tuple[float, int]:
    """The mean loss (nats/token) over all scored tokens of `batches`, int32 `(B, T + 1)` each; and their number."""
    nats, scored = 0.0, 0
    for tokens_BT1 in batches:
        nats += float(np.asarray(token_losses(config, params, tokens_BT1), np.float64).sum())
        scored += int((tokens_BT1[:, 1:] >= 0).sum())
    return nats / max(scored, 1), scored


def bits_per_byte(nats_per_token: float, tokens: int, text_bytes: int) -> float:
    """Comparable across tokenizers: `tokens` tokens (the scored ones) stand for `text_bytes` UTF-8 bytes."""
    return nats_per_token * tokens / (math.log(2) * text_bytes)
