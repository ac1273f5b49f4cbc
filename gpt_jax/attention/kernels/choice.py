"""Fused attention kernels: splash attention on TPU, cuDNN on CUDA.

`choose` alone decides, from plain values and XLA's flags. Where no kernel applies, it says why. `kernel_attention` runs
the kernel that `choose` named. Both kernels compute causal attention over the newest keys, and skip whole tiles outside
of it. A pattern whose only part is a causal prefix or a band is one call. The parts of other patterns are such pieces
after time is folded (pieces.py). Each piece is one call, and merged.py puts the pieces under one softmax.

A kernel is opaque to the partitioner: over a mesh, `attend` calls it on each device's part of batch and heads.
"""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.attention.kernels.cudnn import Cudnn, newest_keys
from gpt_jax.attention.kernels.merged import dense_parts, merged_attention
from gpt_jax.attention.kernels.splash import Splash, splash_attention
from gpt_jax.attention.parts import Band, Prefix
from gpt_jax.attention.patterns import Pattern

Kernel = Literal["splash", "cudnn"]
# Positions of a piece, below which a kernel's tile is mostly empty.
LEAST: dict[Kernel, int] = {"splash": 128, "cudnn": 64}


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
    64-wide or wider heads; below 512 positions the plain computation is one small product. A pattern of several parts
    needs pieces of at least `LEAST` positions. Under XLA's deterministic flag, JAX 0.11.2 compiles a cuDNN call and
    does not find it when the program runs ("IndexError: raw_hash_map<>::at"; openxla/xla, pull request 46500).
    """
    half = jnp.dtype(dtype) in (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16))
    if platform not in ("tpu", "gpu", "cuda"):
        return Choice(None, f"there is no kernel for the platform {platform!r}, only for TPU and CUDA")
    if dropout > 0:
        return Choice(None, f"no kernel drops attention probabilities (attention_dropout {dropout:g})")
    if platform == "tpu":
        if head_width % 64 != 0:
            return Choice(None, f"splash takes heads whose width is a multiple of 64, not {head_width}")
        if length < 512:
            return Choice(None, f"splash serves 512 positions and more, not {length}")
    elif deterministic_ops():
        return Choice(None, "XLA loses cuDNN's attention under --xla_gpu_deterministic_ops")
    elif not half:
        return Choice(None, f"cuDNN takes bfloat16 and float16, not {jnp.dtype(dtype).name}")
    elif head_width % 8 != 0 or head_width > 128:
        return Choice(None, f"cuDNN takes heads whose width is a multiple of 8 up to 128, not {head_width}")
    kernel: Kernel = "splash" if platform == "tpu" else "cudnn"
    if window(pattern, length) is None:
        parts = dense_parts(pattern, length)
        if parts is None:
            return Choice(None, "its parts are no causal prefixes, bands, rows or columns of these, or distances")
        least = min((piece.length for _, own in parts for piece in own), default=0)
        if least < LEAST[kernel]:
            return Choice(
                None, f"its parts fold to pieces of {least} positions; {kernel} serves {LEAST[kernel]} and more"
            )
    return Choice(kernel)


def deterministic_ops() -> bool:
    """Whether XLA_FLAGS ask for deterministic operations on a GPU; of several such flags, the last one counts."""
    given = [flag.partition("=") for flag in os.environ.get("XLA_FLAGS", "").split()]
    values = [value for name, _, value in given if name == "--xla_gpu_deterministic_ops"]
    return bool(values) and values[-1].lower() in ("", "true", "1")


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
    if width is None:
        return merged_attention(q_BTHD, k_BTHD, v_BTHD, pattern, Splash(interpret) if kernel == "splash" else Cudnn())
    if kernel == "splash":
        return splash_attention(q_BTHD, k_BTHD, v_BTHD, width, interpret)
    return newest_keys(q_BTHD, k_BTHD, v_BTHD, width)
