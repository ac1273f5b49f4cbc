"""Each query attends the keys at a few given distances."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.attention.softmax import FORBIDDEN, Dropout, Partial, pad


def distances(q: jax.Array, k: jax.Array, v: jax.Array, back: tuple[int, ...], drop: Dropout | None) -> Partial:
    """Query i attends the keys i - d for each d in `back`. Each d is at least 1. Queries and keys `(..., T, D)`.

    The result is a sum of products of shifted arrays. There is one operation for each pair, and no matrix is formed.
    """
    length = q.shape[-2]
    logits = _score(back, q, k) / math.sqrt(q.shape[-1])  # (..., P, T): one row for each distance
    exists = jnp.broadcast_to(np.arange(length) >= np.array(back)[:, None], logits.shape)
    logits = jnp.where(exists, logits, FORBIDDEN)
    maximum = jax.lax.stop_gradient(logits.max(-2, keepdims=True))
    weights = jnp.exp(logits - maximum)
    total = weights.sum(-2, keepdims=True)
    if drop is not None:
        weights = drop(weights)
    return Partial(jnp.swapaxes(maximum, -1, -2), jnp.swapaxes(total, -1, -2), _mix(back, weights, v))


def gradients(
    q: jax.Array, k: jax.Array, v: jax.Array, back: tuple[int, ...], o: jax.Array, l: jax.Array, o_bar: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The share of these distances in the gradients of q, k and v, all float32 `(..., T, D)`.

    `o` is the output over all keys, these and others, and `l`, `(..., T, 1)`, the log-sum-exp of all logits. With the
    probabilities p = exp(s - l), the logits have the gradient p (o_bar . v - o_bar . o).
    """
    scale, exists = 1 / math.sqrt(q.shape[-1]), np.arange(q.shape[-2]) >= np.array(back)[:, None]
    weights = jnp.where(exists, jnp.exp(_score_of(back, q, k) * scale - jnp.swapaxes(l, -1, -2)), 0.0)
    delta = jnp.swapaxes((o * o_bar).sum(-1, keepdims=True), -1, -2)
    bar = weights * (_score_of(back, o_bar, v) - delta) * scale
    return _mix_of(back, bar, k), _scatter(back, bar, q), _scatter(back, weights, o_bar)


# The two halves of `distances` are bilinear, and each other's derivatives. Their gradients are spelled out because
# those of the slices would each add an array padded to the full length.


def _score_of(back: tuple[int, ...], x: jax.Array, y: jax.Array) -> jax.Array:
    """out[p, t] = x[t] . y[t - back[p]], zero before the start: `(..., T, D)` twice -> `(..., P, T)` float32."""
    farther, length = max(back), x.shape[-2]
    y = pad(y, farther, 0)
    rows = [y[..., farther - d : farther - d + length, :] for d in back]
    return jnp.stack([jnp.einsum("...td,...td->...t", x, row, preferred_element_type=jnp.float32) for row in rows], -2)


def _mix_of(back: tuple[int, ...], weights: jax.Array, y: jax.Array) -> jax.Array:
    """out[t] = sum_p weights[p, t] y[t - back[p]]: `(..., P, T)` and `(..., T, D)` -> `(..., T, D)` float32."""
    farther, length = max(back), y.shape[-2]
    y = pad(y, farther, 0)
    rows = [y[..., farther - d : farther - d + length, :] for d in back]
    return functools.reduce(jnp.add, [weights[..., p, :, None] * row for p, row in enumerate(rows)])


def _scatter(back: tuple[int, ...], weights: jax.Array, x: jax.Array) -> jax.Array:
    """out[s] = sum_p weights[p, s + back[p]] x[s + back[p]]: `_mix_of` seen from the keys."""
    length = x.shape[-2]
    x, weights = pad(x, 0, max(back)), pad(weights[..., None], 0, max(back))
    rows = [(weights[..., p, d : d + length, :], x[..., d : d + length, :]) for p, d in enumerate(back)]
    return functools.reduce(jnp.add, [w * row for w, row in rows])


def _score_gradients(back, saved, bar):
    x, y = saved
    return _mix_of(back, bar, y).astype(x.dtype), _scatter(back, bar, x).astype(y.dtype)


def _mix_gradients(back, saved, bar):
    weights, y = saved
    return _score_of(back, bar.astype(y.dtype), y), _scatter(back, weights, bar).astype(y.dtype)


_score = jax.custom_vjp(_score_of, nondiff_argnums=(0,))
_score.defvjp(lambda back, x, y: (_score_of(back, x, y), (x, y)), _score_gradients)
_mix = jax.custom_vjp(_mix_of, nondiff_argnums=(0,))
_mix.defvjp(lambda back, weights, y: (_mix_of(back, weights, y), (weights, y)), _mix_gradients)
