"""cuDNN's flash attention as merged.py needs it.

`jax.nn.dot_product_attention` rounds the log-sum-exp to the 16 bits of its arrays and gives it no gradient. The
functions below it, which JAX does not publish, take and return it in float32.

Axes: B batch, T time, H heads, K heads of keys, D head width.
"""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp

from gpt_jax.attention.kernels.merged import Fused


class Cudnn(Fused):
    """Flash attention over the newest `window` keys, in bfloat16 or float16; no mask is ever formed.

    JAX refuses an odd number of positions with a gradient. One more position at the end changes nothing for those
    before it: no query attends it, and its own cotangent is 0.
    """

    def forward(self, q, k, v, window):
        from jax._src.cudnn import fused_attention_stablehlo as cudnn

        length, how = q.shape[1], self._how(q, window)
        q, k, v = map(even, (q, k, v))
        o_and_l: Any = cudnn.dot_product_attention(q, k, v, **how, return_residual=True)
        return o_and_l[0][:, :length], jnp.swapaxes(o_and_l[1], 1, 2)[:, :length]

    def backward(self, q, k, v, o, l, o_bar, window):
        from jax._src.cudnn import fused_attention_stablehlo as cudnn

        length, how = q.shape[1], self._how(q, window)
        q, k, v, o, l, o_bar = map(even, (q, k, v, o, l, o_bar))
        absent = jnp.zeros(0, q.dtype)
        rule: Any = cudnn._dot_product_attention_bwd_rule
        names = inspect.signature(rule).parameters  # which differ between versions of JAX
        more = [()] if "score_mod" in names else []  # from 0.12 on: arguments of a function of the scores
        values = {
            **how,
            "seed": 42,
            "dropout_rate": 0.0,
            "variadic_args": (False, False),  # no bias, and no gradient of one
            "layout": cudnn.AttentionLayout.BTNH.value,
            "is_training": True,
            "return_residual": False,
            "score_mod": None,
            "cudnn_version": None,  # not read here
            "res": (q, k, v, *([absent] * 7), *more, jnp.swapaxes(l, 1, 2), o),
            "grad_output": o_bar.astype(q.dtype),
        }
        bars = rule(*(values[name] for name in names))
        return tuple(bar[:, :length] for bar in bars[:3])

    @staticmethod
    def _how(q, window):
        from jax._src.cudnn import fused_attention_stablehlo as cudnn

        local = window if window < q.shape[1] else None
        return {"scale": q.shape[-1] ** -0.5, "mask_type": cudnn.MaskType.CAUSAL, "sliding_window_length": local}


def even(x: jax.Array) -> jax.Array:
    """`(B, T, ...)` with a position of zeros more where T is odd."""
    return jnp.pad(x, [(0, 0), (0, x.shape[1] % 2)] + [(0, 0)] * (x.ndim - 2))


def newest_keys(q_BTHD: jax.Array, k_BTHD: jax.Array, v_BTHD: jax.Array, window: int) -> jax.Array:
    """Causal attention over the newest `window` keys, by JAX's published function."""
    local = (window - 1, 0) if window < q_BTHD.shape[1] else None
    q, k, v = map(even, (q_BTHD, k_BTHD, v_BTHD))
    out = jax.nn.dot_product_attention(q, k, v, is_causal=True, local_window_size=local, implementation="cudnn")
    return out[:, : q_BTHD.shape[1]]


def first_keys(q_B1HD: jax.Array, k_BSHD: jax.Array, v_BSHD: jax.Array, count_B: jax.Array) -> jax.Array:
    """One query of each row over its first `count` keys, at least one: what decoding asks of a cache. No gradient."""
    ones_B = jnp.ones_like(count_B)
    return jax.nn.dot_product_attention(
        q_B1HD, k_BSHD, v_BSHD, query_seq_lengths=ones_B, key_value_seq_lengths=count_B, implementation="cudnn"
    )
