"""The four implementations of attention over a pattern, and the choice between them.

Axes: B batch, T time, H heads, D head width.
"""

from __future__ import annotations

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from gpt_jax.attention.block import block_attention
from gpt_jax.attention.kernels import choose, kernel_attention
from gpt_jax.attention.masked import masked_attention
from gpt_jax.attention.patterns import Pattern
from gpt_jax.errors import InputError, unknown
from gpt_jax.sharding import per_device, platform

Implementation = Literal["auto", "mask", "block", "kernel"]


def attend(
    q_BTHD: jax.Array,
    k_BTHD: jax.Array,
    v_BTHD: jax.Array,
    pattern: Pattern,
    implementation: Implementation = "auto",
    *,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Causal attention over the pairs of `pattern`; `(B, T, H, D)` in, `(B, T, H, D)` out, in q's dtype.

    "mask" spells the pattern out as a `(T, T)` mask on dense logits. It is the definition, at dense cost. "block" gives
    the same numbers and gradients at a cost that follows the number of pairs; a pattern without parts has no such form,
    and is computed through its mask. "kernel" is a fused kernel (kernels/), and raises `InputError` where none
    applies to these arrays on this platform. "auto" is a kernel where one applies, and else "block". Logits and softmax
    are float32 whatever the inputs are. `dropout_rate` drops attention probabilities when a `dropout_key` is given.
    """
    if implementation not in get_args(Implementation):
        raise unknown("implementation", str(implementation), get_args(Implementation))
    length, _, width = q_BTHD.shape[1:]
    if implementation in ("auto", "kernel"):
        rate = dropout_rate if dropout_key is not None else 0.0
        kernel, reason = choose(pattern, platform(), q_BTHD.dtype, width, length, rate)
        if kernel is not None:
            run = functools.partial(kernel_attention, pattern=pattern, kernel=kernel)
            return per_device(run, ("batch", None, "heads", None))(q_BTHD, k_BTHD, v_BTHD)
        if implementation == "kernel":
            raise InputError(f"implementation: 'kernel' is not allowed for {pattern}: {reason}; 'auto' is")
    if implementation != "mask" and pattern.parts(length) is not None:
        return block_attention(q_BTHD, k_BTHD, v_BTHD, pattern, dropout_rate=dropout_rate, dropout_key=dropout_key)
    positions = jnp.arange(length)
    mask_BTS = pattern.allows(positions[:, None], positions[None, :])[None]
    return masked_attention(q_BTHD, k_BTHD, v_BTHD, mask_BTS, dropout_rate=dropout_rate, dropout_key=dropout_key)
