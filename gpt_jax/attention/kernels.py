"""Fused attention kernels as an option: splash attention on TPU, cuDNN on CUDA. Plain jnp is always there.

`choose` is the one place that decides, from plain values; `kernel_attention` runs what it chose. Both kernels skip
what lies outside a causal band, whole blocks at a time, so they serve `Dense` and `Banded`. The other patterns hold
positions that no block-sparse kernel can skip (docs/SPARSE_ATTENTION.md), and stay with block_attention.py.

A kernel is opaque to the partitioner: over a mesh, `attend` calls it on each device's part of batch and heads.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from gpt_jax.attention.block import block_attention
from gpt_jax.attention.patterns import Banded, Dense, Pattern

Kernel = Literal["jnp", "splash", "cudnn"]


def choose(
    pattern: Pattern, platform: str, dtype: jax.typing.DTypeLike, head_width: int, length: int, dropout: float
) -> Kernel:
    """The fastest computation that is exact for these values; "jnp" where no kernel applies.

    `platform` is JAX's name ("cpu", "gpu" or "cuda", "tpu"). Neither kernel drops attention probabilities as we do,
    so `dropout` > 0 means "jnp". cuDNN takes 16-bit floats and head widths up to 128 in steps of 8. Splash works in
    tiles of 128 positions and 64-wide or wider heads; below 512 positions the plain computation is one small product.
    """
    if not isinstance(pattern, (Dense, Banded)) or dropout > 0:
        return "jnp"
    if platform == "tpu" and head_width % 64 == 0 and length >= 512:
        return "splash"
    half = jnp.dtype(dtype) in (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16))
    if platform in ("gpu", "cuda") and half and head_width % 8 == 0 and head_width <= 128:
        return "cudnn"
    return "jnp"


def kernel_attention(
    q_BTHD: jax.Array,
    k_BTHD: jax.Array,
    v_BTHD: jax.Array,
    pattern: Pattern,
    kernel: Kernel,
    *,
    interpret: bool = False,
) -> jax.Array:
    """Attention by the `kernel` that `choose` named, `(B, T, H, D)` in q's dtype; differentiable.

    With `interpret`, splash runs as ordinary JAX on any platform, slowly: for tests.
    """
    if kernel == "splash":
        return _splash(q_BTHD, k_BTHD, v_BTHD, pattern, interpret)
    if kernel == "cudnn":
        window = (pattern.window - 1, 0) if isinstance(pattern, Banded) else None
        return jax.nn.dot_product_attention(
            q_BTHD, k_BTHD, v_BTHD, is_causal=True, local_window_size=window, implementation="cudnn"
        )
    return block_attention(q_BTHD, k_BTHD, v_BTHD, pattern)


def _splash(q_BTHD, k_BTHD, v_BTHD, pattern: Pattern, interpret: bool) -> jax.Array:
    """Splash attention over a causal or local mask; the length is padded to whole tiles, after every real query."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    length, heads, width = q_BTHD.shape[1:]
    tile = 512 if length >= 512 else 128
    padded = -(-length // tile) * tile
    if isinstance(pattern, Banded):
        mask = masks.LocalMask((padded, padded), window_size=(pattern.window - 1, 0), offset=0)
    else:
        mask = masks.CausalMask((padded, padded))
    sizes = kernels.BlockSizes(
        block_q=tile, block_kv=tile, block_q_dkv=tile, block_kv_dkv=tile, block_q_dq=tile, block_kv_dq=tile
    )
    splash = kernels.make_splash_mha(
        masks.MultiHeadMask([mask] * heads), head_shards=1, q_seq_shards=1, block_sizes=sizes, interpret=interpret
    )

    def tiles(x):  # (B, T, H, D) -> (B, H, padded, D)
        return jnp.pad(jnp.swapaxes(x, 1, 2), ((0, 0), (0, 0), (0, padded - length), (0, 0)))

    out_BHTD = jax.vmap(splash)(tiles(q_BTHD * width**-0.5), tiles(k_BTHD), tiles(v_BTHD))
    return jnp.swapaxes(jnp.asarray(out_BHTD)[:, :, :length], 1, 2).astype(q_BTHD.dtype)
