"""Attention through a mask, at dense cost. It is the definition: `softmax(q k^T / sqrt(d_head)) v` over allowed pairs.

Axes: B batch, T time (query), S time (key), H heads, D head width.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def masked_attention(
    q_BTHD: jax.Array,
    k_BSHD: jax.Array,
    v_BSHD: jax.Array,
    mask_BTS: jax.Array,
    *,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Attention where `mask_BTS` (its batch axis may be 1) is True. Masked logits are -inf before the softmax.

    Every query must be allowed at least one key, as a causal pattern allows itself.
    """
    scale = q_BTHD.shape[-1] ** -0.5
    logits_BHTS = jnp.einsum("bthd,bshd->bhts", q_BTHD, k_BSHD, preferred_element_type=jnp.float32) * scale
    logits_BHTS = jnp.where(mask_BTS[:, None], logits_BHTS, -jnp.inf)
    probabilities_BHTS = jax.nn.softmax(logits_BHTS, axis=-1)
    if dropout_rate and dropout_key is not None:
        keep = jax.random.bernoulli(dropout_key, 1 - dropout_rate, probabilities_BHTS.shape)
        probabilities_BHTS = jnp.where(keep, probabilities_BHTS / (1 - dropout_rate), 0.0)
    out_BTHD = jnp.einsum(
        "bhts,bshd->bthd", probabilities_BHTS.astype(v_BSHD.dtype), v_BSHD, preferred_element_type=jnp.float32
    )
    return out_BTHD.astype(q_BTHD.dtype)
