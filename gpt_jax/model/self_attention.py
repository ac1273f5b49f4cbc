"""Multi-head self-attention: the projections around `attend`.

Axes: B batch, T time (query), S time (key), H heads, D head width, M model width.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from gpt_jax.attention.implementations import attend
from gpt_jax.attention.kernels import choose, first_keys, window
from gpt_jax.attention.masked import masked_attention
from gpt_jax.attention.patterns import Pattern
from gpt_jax.config import ModelConfig
from gpt_jax.errors import InputError
from gpt_jax.model.cache import LayerCache
from gpt_jax.model.linear import Linear
from gpt_jax.sharding import PARAMETERS, mesh_in_use, platform


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
            implementation = c.attention_implementation
            if implementation == "kernel":
                # The kernel must serve whole contexts. Prompts, and the few tokens that parameters are made with, may
                # be shorter than any kernel takes.
                if cache is None and x_BTM.shape[1] == c.context_length:
                    kernel_of(c, self.pattern, platform(), c.attention_dropout if dropping else 0.0)
                implementation = "auto"
            out_BTHD = attend(
                q_BTHD,
                k_BTHD,
                v_BTHD,
                self.pattern,
                implementation,
                dropout_rate=c.attention_dropout,
                dropout_key=self.make_rng("dropout") if dropping else None,
            )
            if cache is not None:
                cache = cache.write(k_BTHD, v_BTHD, positions_BT)
        else:
            assert positions_BT is not None
            length, slots = cache.length, cache.slots
            cache, k_BSHD, v_BSHD, keys_BS = cache.extend(k_BTHD, v_BTHD, positions_BT, self.pattern)
            if self._decodes_by_kernel(q_BTHD, length):
                count_B = jnp.clip(positions_BT[:, 0] + 1, 1, slots)  # slots fill in order, and then all are attended
                out_BTHD = first_keys(q_BTHD, k_BSHD, v_BSHD, count_B)
                return self._project(out_BTHD), cache
            mask_BTS = self.pattern.allows(positions_BT[:, :, None], keys_BS[:, None, :]) & (keys_BS >= 0)[:, None, :]
            # A padding query (position -1) may attend nothing; its output is unused, but must not be NaN.
            mask_BTS |= (positions_BT < 0)[:, :, None]
            out_BTHD = masked_attention(q_BTHD, k_BSHD, v_BSHD, mask_BTS)
        return self._project(out_BTHD), cache

    def _project(self, out_BTHD: jax.Array) -> jax.Array:
        c = self.config
        return Linear(c, (c.d_model,), inputs=2, residual=True, axes=PARAMETERS["out/kernel"], name="out")(out_BTHD)

    def _decodes_by_kernel(self, q_BTHD: jax.Array, length: int) -> bool:
        """Whether cuDNN attends a cache for one token: where the token attends every key that the cache holds."""
        c = self.config
        if q_BTHD.shape[1] > 1 or c.attention_implementation not in ("auto", "kernel") or mesh_in_use() is not None:
            return False
        kernel = choose(self.pattern, platform(), q_BTHD.dtype, c.head_width, length, 0.0).kernel
        return kernel == "cudnn" and window(self.pattern, length) is not None


def kernel_of(model: ModelConfig, pattern: Pattern, platform: str, dropout: float) -> str | None:
    """The fused kernel that computes `pattern` over a context of `model` on that platform, or None where none applies.

    Raises `InputError` where none applies and the config demands one.
    """
    kernel, reason = choose(pattern, platform, model.compute_dtype, model.head_width, model.context_length, dropout)
    if kernel is None and model.attention_implementation == "kernel":
        raise InputError(
            f"model.attention_implementation: 'kernel' is not allowed for {pattern}: {reason}; 'auto' takes a kernel "
            "where one applies"
        )
    return kernel


def attention_computed_by(model: ModelConfig, platform: str) -> str:
    """What computes each pattern of `model` in training: "Dense() by splash, Banded(window=256) by splash".

    Raises `InputError` where the config demands a kernel and none applies.
    """
    if model.architecture != "transformer":
        return "none"

    def name(pattern: Pattern) -> str:
        if model.attention_implementation in ("auto", "kernel"):
            kernel = kernel_of(model, pattern, platform, model.attention_dropout)
            if kernel is not None:
                return kernel
        if model.attention_implementation == "mask":
            return "mask"
        return "block" if pattern.parts(model.context_length) is not None else "mask, at dense cost"

    return ", ".join(dict.fromkeys(f"{pattern} by {name(pattern)}" for pattern in model.attention))
