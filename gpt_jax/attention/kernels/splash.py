"""Splash attention, JAX's kernel for TPU: over a causal or local mask, and as merged.py needs it.

Axes: B batch, T time, H heads, K heads of keys, D head width.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gpt_jax.attention.kernels.merged import Fused


def splash_attention(
    q_BTHD: jax.Array, k_BTHD: jax.Array, v_BTHD: jax.Array, window: int, interpret: bool
) -> jax.Array:
    """Splash attention over a causal or local mask; the length is padded to whole tiles, after every real query."""
    length, heads, width = q_BTHD.shape[1:]
    splash = make_splash(length, window, heads, interpret)

    def tiles(x):  # (B, T, H, D) -> (B, H, padded, D)
        return jnp.pad(jnp.swapaxes(x, 1, 2), ((0, 0), (0, 0), (0, _padded(length) - length), (0, 0)))

    out_BHTD = jax.vmap(splash)(tiles(q_BTHD * width**-0.5), tiles(k_BTHD), tiles(v_BTHD))
    return jnp.swapaxes(jnp.asarray(out_BHTD)[:, :, :length], 1, 2).astype(q_BTHD.dtype)


def make_splash(length: int, window: int, heads: int, interpret: bool, residuals: bool = False):
    """JAX's splash attention of `heads` heads over `length` positions, in tiles of 512, or of 128 where there are
    fewer."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    tile, padded = _tile(length), _padded(length)
    if window < length:
        mask = masks.LocalMask((padded, padded), window_size=(window - 1, 0), offset=0)
    else:
        mask = masks.CausalMask((padded, padded))
    sizes = kernels.BlockSizes(
        block_q=tile, block_kv=tile, block_q_dkv=tile, block_kv_dkv=tile, block_q_dq=tile, block_kv_dq=tile
    )
    return kernels.make_splash_mha(
        masks.MultiHeadMask([mask] * heads),
        head_shards=1,
        q_seq_shards=1,
        block_sizes=sizes,
        interpret=interpret,
        save_residuals=residuals,
    )


def _tile(length: int) -> int:
    return 512 if length >= 512 else 128


def _padded(length: int) -> int:
    return -(-length // _tile(length)) * _tile(length)


class Splash(Fused):
    """Splash attention as merged.py needs it. Heads of keys join the batch; the queries' heads that share one stay."""

    def __init__(self, interpret: bool = False):
        self._interpret = interpret

    def forward(self, q, k, v, window):
        splash = make_splash(q.shape[1], window, q.shape[2] // k.shape[2], self._interpret, residuals=True)
        o, (l,) = jax.vmap(splash)(self._tiles(q * q.shape[-1] ** -0.5, k.shape[2]), *(self._keys(x) for x in (k, v)))
        return self._flat(o, q), self._flat(l[..., None], q)[..., 0]

    def backward(self, q, k, v, o, l, o_bar, window):
        from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels

        splash = make_splash(q.shape[1], window, q.shape[2] // k.shape[2], self._interpret)

        def gradients(q, k, v, o, l, o_bar):
            saved = (q, k, v, None, None, o, l, splash.dq_mask_info, splash.dkv_mask_info)
            return kernels._splash_attention_bwd(**splash.kwargs, res=saved, do=o_bar)[3:6]

        scale, heads, like = q.shape[-1] ** -0.5, k.shape[2], q
        q, o, l, o_bar = (self._tiles(x, heads) for x in (q * scale, o, l[..., None], o_bar))
        q_bar, k_bar, v_bar = jax.vmap(gradients)(q, self._keys(k), self._keys(v), o, l[..., 0], o_bar)
        return self._flat(q_bar, like) * scale, self._flat(k_bar, k), self._flat(v_bar, v)

    @staticmethod
    def _tiles(x, heads):  # (B, T, H, D) -> (B * K, H / K, padded, D)
        x = jnp.pad(jnp.swapaxes(x, 1, 2), ((0, 0), (0, 0), (0, _padded(x.shape[1]) - x.shape[1]), (0, 0)))
        return x.reshape(-1, x.shape[1] // heads, *x.shape[2:])

    def _keys(self, x):  # (B, T, K, D) -> (B * K, 1, padded, D)
        return self._tiles(x, x.shape[2])

    @staticmethod
    def _flat(x, like):  # (B * K, H / K, padded, D) -> (B, T, H, D)
        x = x.reshape(like.shape[0], like.shape[2], *x.shape[-2:])
        return jnp.swapaxes(x[:, :, : like.shape[1]], 1, 2)
