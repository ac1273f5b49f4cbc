"""Attention over the pairs that a pattern allows: `softmax(q k^T / sqrt(d_head)) v`.

Axes: B batch, T time (query), S time (key), H heads, D head width.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from gpt_jax.attention.block import block_attention
from gpt_jax.attention.kernels import choose, kernel_attention
from gpt_jax.attention.patterns import Pattern
from gpt_jax.sharding import per_device, platform


def attend(
    q_BTHD: jax.Array,
    k_BTHD: jax.Array,
    v_BTHD: jax.Array,
    pattern: Pattern,
    implementation: Literal["mask", "block", "kernel"] = "block",
    *,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Causal attention over the pairs of `pattern`; `(B, T, H, D)` in, `(B, T, H, D)` out, in q's dtype.

    "mask" spells the pattern out as a `(T, T)` mask on dense logits: the definition, at dense cost. "block"
    gives the same numbers and gradients at a cost that follows the number of pairs. "kernel" is a fused kernel where
    this platform has one for these arrays (kernels.py), and "block" elsewhere. Logits and softmax are float32
    whatever the inputs are. `dropout_rate` drops attention probabilities when a `dropout_key` is given.
    """
    if implementation == "kernel":
        rate = dropout_rate if dropout_key is not None else 0.0
        length, _, width = q_BTHD.shape[1:]
        kernel = choose(pattern, platform(), q_BTHD.dtype, width, length, rate)
        if kernel != "jnp":
            run = lambda q, k, v: kernel_attention(q, k, v, pattern, kernel)  # noqa: E731
            return per_device(run, ("batch", None, "heads", None))(q_BTHD, k_BTHD, v_BTHD)
    if implementation != "mask":
        return block_attention(q_BTHD, k_BTHD, v_BTHD, pattern, dropout_rate=dropout_rate, dropout_key=dropout_key)
    positions = jnp.arange(q_BTHD.shape[1])
    mask_TS = pattern.allows(positions[:, None], positions[None, :])
    return masked_attention(
        q_BTHD, k_BTHD, v_BTHD, mask_TS[None], dropout_rate=dropout_rate, dropout_key=dropout_key
    )  # fmt: skip


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
