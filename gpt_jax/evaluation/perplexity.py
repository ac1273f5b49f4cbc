"""How well a model predicts text: nats per token, bits per byte."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import numpy as np

from gpt_jax.config import ModelConfig
from gpt_jax.model.interface import hidden
from gpt_jax.model.linear import matmul_dtype
from gpt_jax.numerics import pinned
from gpt_jax.sharding import constrain
from gpt_jax.training import objectives


@partial(jax.jit, static_argnums=0)
def token_losses(config: ModelConfig, params, tokens_BT1: jax.Array) -> jax.Array:
    """`-log P` of each next token, nats, float32 `(B, T)`; 0 where the target is padding (below 0)."""
    h_BTM, head_VM, _ = hidden(config, params, tokens_BT1[:, :-1])
    chunk = objectives.loss_chunk(config, *h_BTM.shape[:2])
    nats_BT = objectives.next_token_nats(h_BTM, head_VM, tokens_BT1[:, 1:], matmul_dtype(config), chunk)
    return constrain(nats_BT, None, None)


@pinned()
def mean_loss(
    config: ModelConfig, params, batches: Iterable[np.ndarray], put: Callable[[np.ndarray], Any] = lambda tokens: tokens
) -> tuple[float, int]:
    """The mean loss (nats/token) over all scored tokens of `batches`, int32 `(B, T + 1)` each; and their number.

    `put` moves a batch to where the parameters are, for a mesh of several processes.
    """
    nats, scored = 0.0, 0
    for tokens_BT1 in batches:
        nats += float(np.asarray(token_losses(config, params, put(tokens_BT1)), np.float64).sum())
        scored += int((tokens_BT1[:, 1:] >= 0).sum())
    return nats / max(scored, 1), scored


def bits_per_byte(nats_per_token: float, tokens: int, text_bytes: int) -> float:
    """Comparable across tokenizers: `tokens` tokens (the scored ones) stand for `text_bytes` UTF-8 bytes."""
    return nats_per_token * tokens / (math.log(2) * text_bytes)
