"""What is minimised: the negative of GPT-1's L1, the log-likelihood of each token given those before it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gpt_jax.config import ModelConfig
from gpt_jax.model.decoder import GPT


@jax.custom_vjp
def token_losses(logits_BTV: jax.Array, targets_BT: jax.Array) -> jax.Array:
    """`-log P(target)` in nats, float32 `(B, T)`; 0 where the target is below 0 (padding).

    The gradient, `P - 1[target]`, is written out: it is one pass over the logits, with no scatter.
    """
    return _losses_and_normalizers(logits_BTV, targets_BT)[0]


def _losses_and_normalizers(logits_BTV, targets_BT):
    log_z_BT = jax.nn.logsumexp(logits_BTV, axis=-1)
    target_BT1 = jnp.maximum(targets_BT, 0)[..., None]
    nats_BT = log_z_BT - jnp.take_along_axis(logits_BTV, target_BT1, axis=-1)[..., 0]
    return jnp.where(targets_BT >= 0, nats_BT, 0.0), log_z_BT


def _forward(logits_BTV, targets_BT):
    losses_BT, log_z_BT = _losses_and_normalizers(logits_BTV, targets_BT)
    return losses_BT, (logits_BTV, targets_BT, log_z_BT)


def _backward(saved, g_BT):
    logits_BTV, targets_BT, log_z_BT = saved
    p_BTV = jnp.exp(logits_BTV - log_z_BT[..., None])
    is_target_BTV = jnp.arange(logits_BTV.shape[-1]) == targets_BT[..., None]
    scored_BT1 = jnp.where(targets_BT >= 0, g_BT, 0.0)[..., None]
    return (p_BTV - is_target_BTV) * scored_BT1, None


token_losses.defvjp(_forward, _backward)


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
