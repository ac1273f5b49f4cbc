"""Gradients before training: how the last layer's depends on depth (Xiong et al. 2020, section 3.3, Figure 3)."""

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
    from gpt_jax.data.pipeline import validation_batches

    limit = BATCH * config.model.context_length
    tokens_BT1 = next(iter(validation_batches(corpus, batch_size=BATCH, max_tokens=limit)))
    return {n: norm_at(dataclasses.replace(config.model, n_layer=n), config.training.seed, tokens_BT1) for n in depths}


def norm_at(model: ModelConfig, seed: int, tokens_BT1: np.ndarray) -> float:
    """The Frobenius norm of d loss / d W at initialisation, W the last block's second feed-forward matrix."""
    import jax
    import jax.numpy as jnp

    from gpt_jax.model.decoder import GPT
    from gpt_jax.training.objectives import token_losses
    from gpt_jax.training.state import INITIALIZATION, purpose_key

    model = dataclasses.replace(model, scan_layers=False)
    params = jax.jit(GPT(model).init)(purpose_key(seed, INITIALIZATION), jnp.zeros((1, 1), jnp.int32))["params"]
    block = f"block_{model.n_layer - 1}"

    @jax.jit
    def gradient(matrix, params, tokens_BT1):
        def loss(matrix):
            mlp = params[block]["mlp"]
            down = {**mlp["down"], "kernel": matrix}
            changed = {**params, block: {**params[block], "mlp": {**mlp, "down": down}}}
            logits_BTV = GPT(model).apply({"params": changed}, tokens_BT1[:, :-1])
            return token_losses(logits_BTV, tokens_BT1[:, 1:]).sum() / (tokens_BT1[:, 1:] >= 0).sum()

        return jax.grad(loss)(matrix)

    matrix = params[block]["mlp"]["down"]["kernel"]
    return float(jnp.linalg.norm(gradient(matrix, params, tokens_BT1)))


def log_slope(norms: Mapping[int, float]) -> float:
    """The slope of log norm over log depth: about -1/2 where norms fall as 1/sqrt(L), 0 where they do not fall."""
    return float(np.polyfit(np.log(list(norms)), np.log(list(norms.values())), 1)[0])
