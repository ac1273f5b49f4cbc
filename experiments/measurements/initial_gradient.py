"""Gradients before training: how the last gradient depends on depth (Xiong et al. 2020, section 3.3, Figure 3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from gpt_jax.config import ModelConfig, RunConfig

DEPTHS = (2, 6, 12, 24)
BATCH = 8  # windows


def gradient_norms(config: RunConfig, corpus: Any, depths: tuple[int, ...] = DEPTHS) -> dict[int, float]:
    """Depth -> norm of the gradient of the last block's second feed-forward matrix, on a batch of validation text."""
    tokens_BT1 = validation_batch(config.model, corpus)
    return {n: norm_at(dataclasses.replace(config.model, n_layer=n), config.training.seed, tokens_BT1) for n in depths}


def validation_batch(model: ModelConfig, corpus: Any) -> np.ndarray:
    """The first `BATCH` windows of the validation text: inputs and targets, int32 `(B, T + 1)`."""
    from gpt_jax.data.pipeline import validation_batches

    return next(iter(validation_batches(corpus, batch_size=BATCH, max_tokens=BATCH * model.context_length)))


def norm_at(model: ModelConfig, seed: int, tokens_BT1: np.ndarray) -> float:
    """The Frobenius norm of d loss / d W at initialisation, W the last block's second feed-forward matrix.

    The layers are scanned, so that depth costs no compilation. The initialisation then draws other numbers of the same
    law.
    """
    import jax
    import jax.numpy as jnp

    from gpt_jax.model.decoder import GPT
    from gpt_jax.training.objectives import language_model_loss
    from gpt_jax.training.state import INITIALIZATION, purpose_key

    model = dataclasses.replace(model, scan_layers=True)

    @jax.jit
    def norm(key):
        params = GPT(model).init(key, jnp.zeros((1, 1), jnp.int32))["params"]
        gradients = jax.grad(lambda params: language_model_loss(model, params, jnp.asarray(tokens_BT1)))(params)
        last_block = gradients["blocks"][f"block_{model.attention_period - 1}"]
        return jnp.linalg.norm(last_block["mlp"]["down"]["kernel"][-1])

    return float(norm(purpose_key(seed, INITIALIZATION))) / int((tokens_BT1[:, 1:] >= 0).sum())


def log_slope(norms: Mapping[int, float]) -> float:
    """The slope of log norm over log depth: about -1/2 where norms fall as 1/sqrt(L), 0 where they do not fall."""
    return float(np.polyfit(np.log(list(norms)), np.log(list(norms.values())), 1)[0])
