"""The residual stream before training: how much the branches of all layers add up to, by depth."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from gpt_jax.config import ModelConfig, RunConfig

DEPTHS = (2, 6, 12, 24)
BATCH = 4  # windows


def branch_norms(config: RunConfig, corpus: Any, depths: tuple[int, ...] = DEPTHS) -> dict[int, float]:
    """Depth -> `norm_at` on a batch of validation text."""
    from gpt_jax.data.pipeline import validation_batches

    limit = BATCH * config.model.context_length
    tokens_BT1 = next(iter(validation_batches(corpus, batch_size=BATCH, max_tokens=limit)))
    tokens_BT = np.maximum(tokens_BT1[:, :-1], 0)
    return {n: norm_at(dataclasses.replace(config.model, n_layer=n), config.training.seed, tokens_BT) for n in depths}


def norm_at(model: ModelConfig, seed: int, tokens_BT: np.ndarray) -> float:
    """The root mean square of what the layers have added to the embeddings, over that of the embeddings.

    Independent branches of one size add up like the square root of their number. GPT-2's factor 1/sqrt(N) keeps the sum
    the same at every depth. The layers are scanned, so that depth costs no compilation. The initialisation then draws
    other numbers of the same law.
    """
    import jax
    import jax.numpy as jnp

    from gpt_jax.model.decoder import GPT, Period
    from gpt_jax.training.state import INITIALIZATION, purpose_key

    model = dataclasses.replace(model, scan_layers=True, remat="none", matmul_dtype="float32")
    period, caches = Period(model), (None,) * model.attention_period

    @jax.jit
    def ratio(key, tokens_BT):
        params: Any = GPT(model).init(key, jnp.zeros((1, 1), jnp.int32))["params"]
        first_BTM = params["wte"][tokens_BT] + params["wpe"][: tokens_BT.shape[1]]

        def layer(x_BTM, own):
            return period.apply({"params": own}, x_BTM, caches, None, True)[0], None

        last_BTM, _ = jax.lax.scan(layer, first_BTM, params["blocks"])
        return jnp.sqrt(jnp.mean((last_BTM - first_BTM) ** 2) / jnp.mean(first_BTM**2))

    return float(ratio(purpose_key(seed, INITIALIZATION), jnp.asarray(tokens_BT)))
