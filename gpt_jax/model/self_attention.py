"""Multi-head self-attention: the projections around `attend`.

Axes: B batch, T time (query), S time (key), H heads, D head width, M model width.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from gpt_jax.attention.implementations import attend, masked_attention
from gpt_jax.attention.kernels import choose
from gpt_jax.attention.patterns import Pattern
from gpt_jax.config import ModelConfig
from gpt_jax.model.cache import LayerCache
from gpt_jax.model.linear import Linear
from gpt_jax.sharding import PARAMETERS


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


def attention_computed_by(model: ModelConfig, platform: str) -> str:
    """What computes each pattern of `model` there, in words: "Dense() by splash, Banded(window=256) by splash"."""

    def name(pattern: Pattern) -> str:
        if model.attention_implementation != "kernel":
            return model.attention_implementation
        dtype, width, length = model.compute_dtype, model.head_width, model.context_length
        kernel = choose(pattern, platform, dtype, width, length, model.attention_dropout)
        return "block" if kernel == "jnp" else kernel

    return ", ".join(dict.fromkeys(f"{pattern!r} by {name(pattern)}" for pattern in model.attention))
