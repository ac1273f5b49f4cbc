"""Multi-head self-attention: `softmax(q k^T / sqrt(d_head)) v` over the pairs that a pattern allows.

Axes: B batch, T time (query), S time (key), H heads, D head width, M model width.
"""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gpt_jax.config import ModelConfig
from gpt_jax.model.block_attention import block_attention
from gpt_jax.model.cache import LayerCache
from gpt_jax.model.kernels import choose, kernel_attention
from gpt_jax.model.linear import Linear
from gpt_jax.model.patterns import Pattern
from gpt_jax.parallel.sharding import PARAMETERS, per_device, platform


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


class SelfAttention(nn.Module):
    """Projections to q, k, v, attention by `pattern`, and the projection back (a residual branch)."""

    config: ModelConfig
    pattern: Pattern

    @nn.compact
    def __call__(
        self,
        x_BTM: jax.Array,
        cache: LayerCache | None = None,
        positions_BT: jax.Array | None = None,
        *,
        deterministic: bool = True,
    ) -> tuple[jax.Array, LayerCache | None]:
        c = self.config
        heads = (c.n_head, c.head_width)
        qkv_BT3HD = Linear(c, (3, *heads), axes=PARAMETERS["qkv/kernel"], regather=True, name="qkv")(x_BTM)
        q_BTHD, k_BTHD, v_BTHD = jnp.moveaxis(qkv_BT3HD, 2, 0)
        if cache is None or cache.fresh:
            dropping = c.attention_dropout > 0 and not deterministic
            out_BTHD = attend(
                q_BTHD, k_BTHD, v_BTHD, self.pattern, c.attention_implementation,
                dropout_rate=c.attention_dropout, dropout_key=self.make_rng("dropout") if dropping else None,
            )  # fmt: skip
            if cache is not None:
                cache = cache.write(k_BTHD, v_BTHD, positions_BT)
        else:
            assert positions_BT is not None
            cache, k_BSHD, v_BSHD, keys_BS = cache.extend(k_BTHD, v_BTHD, positions_BT, self.pattern)
            mask_BTS = self.pattern.allows(positions_BT[:, :, None], keys_BS[:, None, :]) & (keys_BS >= 0)[:, None, :]
            # A padding query (position -1) may attend nothing; its output is unused, but must not be NaN.
            mask_BTS |= (positions_BT < 0)[:, :, None]
            out_BTHD = masked_attention(q_BTHD, k_BSHD, v_BSHD, mask_BTS)
        project = Linear(c, (c.d_model,), inputs=2, residual=True, axes=PARAMETERS["out/kernel"], name="out")
        return project(out_BTHD), cache
