"""What is minimised: the negative of GPT-1's L1, the log-likelihood of each token given those before it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from gpt_jax.config import ModelConfig
from gpt_jax.model.decoder import GPT


def token_losses(logits_BTV: jax.Array, targets_BT: jax.Array) -> jax.Array:
    """`-log P(target)` in nats, float32 `(B, T)`; 0 where the target is below 0 (padding)."""
    nats_BT = optax.softmax_cross_entropy_with_integer_labels(
        logits_BTV.astype(jnp.float32), jnp.maximum(targets_BT, 0)
    )
    return jnp.where(targets_BT >= 0, nats_BT, 0.0)


def language_model_loss(
    config: ModelConfig, params, tokens_BT1: jax.Array, dropout_key: jax.Array | None = None
) -> jax.Array:
    """-L1 (GPT-1, equation 1): nats summed over the scored tokens, a float32 scalar.

    `tokens_BT1` int32 `(B, T + 1)` holds inputs and targets, one apart; targets below 0 are not scored. Dropout
    is on when a key is given.
    """
    rngs = None if dropout_key is None else {"dropout": dropout_key}
    logits_BTV = GPT(config).apply(
        {"params": params}, tokens_BT1[:, :-1], deterministic=dropout_key is None, rngs=rngs
    )  # fmt: skip
    return token_losses(logits_BTV, tokens_BT1[:, 1:]).sum()  # type: ignore[arg-type]
