"""The loss of pre-training: the negative of GPT-1's L1, the log-likelihood of each token given the tokens before it."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gpt_jax.config import ModelConfig
from gpt_jax.model.interface import hidden
from gpt_jax.model.linear import matmul_dtype
from gpt_jax.model.products import contract, weight_gradient
from gpt_jax.sharding import constrain, mesh_in_use, on_cuda

# Float32 logits that exist at once on a device: a quarter of a GiB. CUDA, where each chunk reads and writes the whole
# gradient of the output matrix, takes two GiB.
LOGITS, CUDA_LOGITS = 2**26, 2**29


@jax.custom_vjp
def token_losses(logits_BTV: jax.Array, targets_BT: jax.Array) -> jax.Array:
    """`-log P(target)` in nats, float32 `(B, T)`; 0 where the target is below 0 (padding).

    The gradient, `P - 1[target]`, is written out. It is one pass over the logits, without a scatter.
    """
    return _losses_and_normalizers(logits_BTV, targets_BT)[0]


def _losses_and_normalizers(logits_BTV, targets_BT):
    log_z_BT = jax.nn.logsumexp(logits_BTV, axis=-1)
    target_BT1 = jnp.maximum(targets_BT, 0)[..., None]
    nats_BT = log_z_BT - jnp.take_along_axis(logits_BTV, target_BT1, axis=-1)[..., 0]
    return jnp.where(targets_BT >= 0, nats_BT, 0.0), log_z_BT


def _forward(logits_BTV, targets_BT):
    losses_BT, log_z_BT = _losses_and_normalizers(logits_BTV, targets_BT)
    return losses_BT, (logits_BTV, targets_BT, log_z_BT)


def _backward(saved, g_BT):
    logits_BTV, targets_BT, log_z_BT = saved
    p_BTV = jnp.exp(logits_BTV - log_z_BT[..., None])
    is_target_BTV = _ids(logits_BTV) == targets_BT[..., None]
    scored_BT1 = jnp.where(targets_BT >= 0, g_BT, 0.0)[..., None]
    return (p_BTV - is_target_BTV) * scored_BT1, None


token_losses.defvjp(_forward, _backward)


def _ids(logits: jax.Array) -> jax.Array:
    """The ids of the last axis, in the rank of `logits`."""
    return jax.lax.broadcasted_iota(jnp.int32, (1,) * (logits.ndim - 1) + logits.shape[-1:], logits.ndim - 1)


@partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def cross_entropy(
    h_BTM: jax.Array,
    head_VM: jax.Array,
    targets_BT: jax.Array,
    weights_BT: jax.Array,
    dtype: jnp.dtype,
    chunk: int,
    turned: bool = False,
) -> jax.Array:
    """`sum of weight * -log softmax(h W^T)[target]` in nats, a float32 scalar, without holding all logits at once.

    `chunk` positions of every sequence at a time have logits. Where a gradient is wanted it is formed with them, in
    the same pass: nothing is computed twice, and what is kept has the sizes of `h` and `W`. Products have operands in
    `dtype` and float32 sums; `turned` is `weight_gradient`'s. Targets with weight 0 may be anything.
    """
    nats_BT = next_token_nats(h_BTM, head_VM, targets_BT, dtype, chunk)
    return (nats_BT * weights_BT).sum()


def next_token_nats(
    h_BTM: jax.Array, head_VM: jax.Array, targets_BT: jax.Array, dtype: jnp.dtype, chunk: int
) -> jax.Array:
    """`-log softmax(h W^T)[target]` of each position, nats, float32 `(B, T)`, `chunk` positions at a time; no gradient
    is defined. 0 where the target is below 0 (padding)."""
    weights_BT = jnp.ones(targets_BT.shape, jnp.float32)
    nats_BT, _, _ = _cross_entropy(h_BTM, head_VM, targets_BT, weights_BT, dtype, chunk, with_gradient=False)
    return jnp.where(targets_BT >= 0, nats_BT, 0.0)


def _cross_entropy(
    h_BTM, head_VM, targets_BT, weights_BT, dtype, chunk, with_gradient: bool, turned: bool = False
) -> tuple[Any, Any, Any]:
    """Nats of each position, and the gradients of their weighted sum by `h` (in h's dtype) and `W` (float32), or zeros
    where none are wanted."""
    size = head_VM.shape[0]
    # Whole tiles of rows: a mesh divides them, and CUDA's products of 50,257 columns take twice the time of 50,304.
    whole = mesh_in_use() is not None or on_cuda()
    rows = -(-size // 128) * 128 if whole else size
    w_VM = jnp.pad(head_VM.astype(dtype), ((0, rows - size), (0, 0)))
    for axes in ((None, "table"), ("vocab", "embed"), ("vocab", None)):  # columns to rows, then whole rows
        w_VM = constrain(w_VM, *axes)

    def part(dw_VM, x):
        h_BTM, targets_BT, weights_BT = x
        h_BTM = constrain(h_BTM, "batch", None, None)
        logits_BTV = contract(h_BTM, w_VM, range(2, 3), range(1, 2), dtype)
        if rows > size:
            logits_BTV = jnp.where(_ids(logits_BTV) < size, logits_BTV, -jnp.inf)
        logits_BTV = constrain(logits_BTV, "batch", None, "vocab")
        log_z_BT = jax.nn.logsumexp(logits_BTV, axis=-1)
        is_target_BTV = _ids(logits_BTV) == targets_BT[..., None]
        if on_cuda() and mesh_in_use() is None:  # a pass over all logits less
            target_BT = jnp.take_along_axis(logits_BTV, jnp.clip(targets_BT, 0, size - 1)[..., None], axis=-1)[..., 0]
        else:
            target_BT = jnp.where(is_target_BTV, logits_BTV, 0).sum(-1)
        nats_BT = log_z_BT - target_BT
        if not with_gradient:
            return dw_VM, (nats_BT, jnp.zeros(()))
        g_BTV = (jnp.exp(logits_BTV - log_z_BT[..., None]) - is_target_BTV) * weights_BT[..., None]
        dh_BTM = contract(g_BTV, w_VM, range(2, 3), range(1), dtype, h_BTM.dtype)
        dw_VM += constrain(weight_gradient(g_BTV, h_BTM, 2, dtype, turned), "vocab", "embed")
        return dw_VM, (nats_BT, constrain(dh_BTM, "batch", None, "width"))

    dw_VM = constrain(jnp.zeros(w_VM.shape, jnp.float32), "vocab", "embed") if with_gradient else jnp.zeros(())
    if chunk >= h_BTM.shape[1]:
        dw_VM, (nats_BT, dh_BTM) = part(dw_VM, (h_BTM, targets_BT, weights_BT))
    else:
        length, count = h_BTM.shape[1], -(-h_BTM.shape[1] // chunk)

        def split(x):  # (B, T, ...) -> (count, B, chunk, ...)
            x = jnp.pad(x, [(0, 0), (0, count * chunk - length)] + [(0, 0)] * (x.ndim - 2))
            return jnp.moveaxis(x.reshape(x.shape[0], count, chunk, *x.shape[2:]), 1, 0)

        def join(x):  # (count, B, chunk, ...) -> (B, T, ...)
            return jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1, *x.shape[3:])[:, :length]

        dw_VM, (nats, dh) = jax.lax.scan(part, dw_VM, (split(h_BTM), split(targets_BT), split(weights_BT)))
        nats_BT, dh_BTM = join(nats), join(dh) if with_gradient else dh
    if with_gradient and rows > size:  # the TPU compiler fails where it fuses this slice with the sum over devices
        dw_VM = jax.lax.optimization_barrier(dw_VM)[:size]
    return nats_BT, dh_BTM, dw_VM


def _cross_entropy_forward(h_BTM, head_VM, targets_BT, weights_BT, dtype, chunk, turned):
    nats_BT, dh_BTM, dw_VM = _cross_entropy(h_BTM, head_VM, targets_BT, weights_BT, dtype, chunk, True, turned)
    return (nats_BT * weights_BT).sum(), (dh_BTM, dw_VM.astype(head_VM.dtype))


def _cross_entropy_backward(dtype, chunk, turned, saved, g):
    dh_BTM, dw_VM = saved
    return (dh_BTM * g).astype(dh_BTM.dtype), (dw_VM * g).astype(dw_VM.dtype), None, None


cross_entropy.defvjp(_cross_entropy_forward, _cross_entropy_backward)


def loss_chunk(config: ModelConfig, batch: int, length: int) -> int:
    """Positions of each sequence whose logits exist at once: `config.loss_chunk`, or so many that the logits of one
    device stay below a quarter of a GiB (on CUDA, two GiB)."""
    mesh = mesh_in_use()
    at_once = CUDA_LOGITS if on_cuda() else LOGITS
    return chunk_of(config, batch, length, 1 if mesh is None else mesh.size, at_once)


def chunk_of(config: ModelConfig, batch: int, length: int, devices: int, at_once: int = LOGITS) -> int:
    """`loss_chunk` on a mesh of so many devices, each with `at_once` logits."""
    most = config.loss_chunk or max(1, at_once * devices // (batch * config.vocab_size))
    return -(-length // -(-length // most))  # chunks of equal size, except the last


def language_model_loss(
    config: ModelConfig, params, tokens_BT1: jax.Array, dropout_key: jax.Array | None = None
) -> jax.Array:
    """-L1 (GPT-1, equation 1): nats summed over the scored tokens, a float32 scalar.

    `tokens_BT1` int32 `(B, T + 1)` holds inputs and targets, one apart; targets below 0 are not scored. Dropout
    is on when a key is given.
    """
    h_BTM, head_VM, _ = hidden(config, params, tokens_BT1[:, :-1], dropout_key=dropout_key)
    targets_BT = tokens_BT1[:, 1:]
    weights_BT = (targets_BT >= 0).astype(jnp.float32)
    chunk = loss_chunk(config, *targets_BT.shape)
    return cross_entropy(h_BTM, head_VM, targets_BT, weights_BT, matmul_dtype(config), chunk, config.turned_gradients)
