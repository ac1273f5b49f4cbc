"""Fused attention kernels: splash attention on TPU, cuDNN on CUDA.

`choose` alone decides, from plain values. Where no kernel applies, it says why. `kernel_attention` runs the kernel that
`choose` named. Both kernels skip whole tiles outside a causal band. Therefore they serve a pattern whose only part is a
causal prefix or a band. In other patterns, a block-sparse kernel finds no tile to skip (docs/SPARSE_ATTENTION.md).
block.py computes these patterns.

A kernel is opaque to the partitioner: over a mesh, `attend` calls it on each device's part of batch and heads.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.attention.parts import Band, Prefix
from gpt_jax.attention.patterns import Pattern

Kernel = Literal["splash", "cudnn"]


class Choice(NamedTuple):
    """The kernel that applies, or None and the reason why none does."""

    kernel: Kernel | None
    reason: str = ""


def choose(
    pattern: Pattern, platform: str, dtype: jax.typing.DTypeLike, head_width: int, length: int, dropout: float
) -> Choice:
    """The fused kernel that is exact for these values.

    `platform` is JAX's name ("cpu", "gpu" or "cuda", "tpu"). Neither kernel drops attention probabilities as we do.
    cuDNN takes 16-bit floats and head widths up to 128 in steps of 8. Splash works in tiles of 128 positions and
    64-wide or wider heads; below 512 positions the plain computation is one small product.
    """
    half = jnp.dtype(dtype) in (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16))
    if platform not in ("tpu", "gpu", "cuda"):
        return Choice(None, f"there is no kernel for the platform {platform!r}, only for TPU and CUDA")
    if dropout > 0:
        return Choice(None, f"no kernel drops attention probabilities (attention_dropout {dropout:g})")
    if window(pattern, length) is None:
        return Choice(None, "kernels serve a causal prefix or a band alone")
    if platform == "tpu":
        if head_width % 64 != 0:
            return Choice(None, f"splash takes heads whose width is a multiple of 64, not {head_width}")
        if length < 512:
            return Choice(None, f"splash serves 512 positions and more, not {length}")
        return Choice("splash")
    if not half:
        return Choice(None, f"cuDNN takes bfloat16 and float16, not {jnp.dtype(dtype).name}")
    if head_width % 8 != 0 or head_width > 128:
        return Choice(None, f"cuDNN takes heads whose width is a multiple of 8 up to 128, not {head_width}")
    return Choice("cudnn")


def window(pattern: Pattern, length: int) -> int | None:
    """How many of the newest keys each query attends, if `pattern` has no other keys. A dense pattern has `length`."""
    match pattern.parts(length):
        case (Band(width),):
            return min(width, length)
        case (Prefix(visible, every=1),) if np.array_equal(visible[:length], np.arange(length) + 1):
            return length
    return None


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
    length = q_BTHD.shape[1]
    width = window(pattern, length)
    assert width is not None, f"{pattern} is no prefix or band: see choose"
    if kernel == "splash":
        return _splash(q_BTHD, k_BTHD, v_BTHD, width, interpret)
    local = (width - 1, 0) if width < length else None
    return jax.nn.dot_product_attention(
        q_BTHD, k_BTHD, v_BTHD, is_causal=True, local_window_size=local, implementation="cudnn"
    )


def _splash(q_BTHD, k_BTHD, v_BTHD, window: int, interpret: bool) -> jax.Array:
    """Splash attention over a causal or local mask; the length is padded to whole tiles, after every real query."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    length, heads, width = q_BTHD.shape[1:]
    tile = 512 if length >= 512 else 128
    padded = -(-length // tile) * tile
    if window < length:
        mask = masks.LocalMask((padded, padded), window_size=(window - 1, 0), offset=0)
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
