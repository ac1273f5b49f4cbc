"""cuDNN's flash attention as merged.py needs it.

`jax.nn.dot_product_attention` rounds the log-sum-exp to the 16 bits of its arrays and gives it no gradient. The
functions below it, which JAX does not publish, take and return it in float32.

Axes: B batch, T time, H heads, K heads of keys, D head width.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gpt_jax.attention.kernels.merged import Fused


class Cudnn(Fused):
    """Flash attention over the newest `window` keys, in bfloat16 or float16; no mask is ever formed."""

    def forward(self, q, k, v, window):
        from jax._src.cudnn import fused_attention_stablehlo as cudnn

        o_and_l: Any = cudnn.dot_product_attention(q, k, v, **self._how(q, window), return_residual=True)
        return o_and_l[0], jnp.swapaxes(o_and_l[1], 1, 2)

    def backward(self, q, k, v, o, l, o_bar, window):
        from jax._src.cudnn import fused_attention_stablehlo as cudnn

        how = self._how(q, window)
        absent = jnp.zeros(0, q.dtype)
        saved = (q, k, v, *([absent] * 7), jnp.swapaxes(l, 1, 2), o)
        kinds = (False, False)  # no bias, and no gradient of one
        return cudnn._dot_product_attention_bwd_rule(
            how["scale"],
            42,
            0.0,
            kinds,
            how["mask_type"],
            cudnn.AttentionLayout.BTNH.value,
            how["sliding_window_length"],
            True,
            False,
            saved,
            o_bar.astype(q.dtype),
        )[:3]

    @staticmethod
    def _how(q, window):
        from jax._src.cudnn import fused_attention_stablehlo as cudnn

        local = window if window < q.shape[1] else None
        return {"scale": q.shape[-1] ** -0.5, "mask_type": cudnn.MaskType.CAUSAL, "sliding_window_length": local}
