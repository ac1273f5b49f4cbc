"""Parts merged by their log-sum-exps equal the mask, in value and gradient, whichever kernel computes the pieces."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gpt_jax.attention.kernels import choose, kernel_attention
from gpt_jax.attention.kernels.merged import Fused, dense_parts, merged_attention
from gpt_jax.attention.parts import Band, Columns, Prefix, Rows, causal
from gpt_jax.attention.patterns import Dense, Fixed, LogSparse, Pattern, Strided

PATTERNS = [Dense(), Strided(7), Strided(1), Fixed(8, 3), Fixed(5, 5), LogSparse(4)]


@dataclasses.dataclass(frozen=True)
class Nested(Pattern):
    """The two newest tokens of the own row of 12, and every fourth token of its past in that row."""

    def allows(self, i, j):
        return (j <= i) & (j // 12 == i // 12) & ((i - j < 4) | ((i - j) % 4 == 0))

    def parts(self, length):
        return Rows(12, Band(4)), Rows(12, Columns(4, causal(3, skip=1)))


class Plain(Fused):
    """The formulas of attention over a band, and of its gradients from a given output and log-sum-exp."""

    def _logits(self, q, k, window):
        k = jnp.repeat(k, q.shape[2] // k.shape[2], 2)
        distance = jnp.arange(q.shape[1])[:, None] - jnp.arange(q.shape[1])
        logits = jnp.einsum("bthd,bshd->bhts", q, k) / q.shape[-1] ** 0.5
        return jnp.where((distance >= 0) & (distance < window), logits, -jnp.inf)

    def forward(self, q, k, v, window):
        logits = self._logits(q, k, window)
        weights = jax.nn.softmax(logits)
        o = jnp.einsum("bhts,bshd->bthd", weights, jnp.repeat(v, q.shape[2] // k.shape[2], 2))
        return o, jnp.swapaxes(jax.nn.logsumexp(logits, -1), 1, 2)

    def backward(self, q, k, v, o, l, o_bar, window):
        group, scale = q.shape[2] // k.shape[2], q.shape[-1] ** -0.5
        weights = jnp.exp(self._logits(q, k, window) - jnp.swapaxes(l, 1, 2)[..., None])
        keys, values = jnp.repeat(k, group, 2), jnp.repeat(v, group, 2)
        delta = jnp.swapaxes((o * o_bar).sum(-1), 1, 2)[..., None]
        bar = weights * (jnp.einsum("bthd,bshd->bhts", o_bar, values) - delta) * scale
        together = lambda x: x.reshape(*x.shape[:2], -1, group, x.shape[-1]).sum(3)  # noqa: E731
        k_bar, v_bar = jnp.einsum("bhts,bthd->bshd", bar, q), jnp.einsum("bhts,bthd->bshd", weights, o_bar)
        return jnp.einsum("bhts,bshd->bthd", bar, keys), together(k_bar), together(v_bar)


def by_mask(q, k, v, pattern):
    """In float64 by NumPy: the output for arrays (B, T, H, D)."""
    logits = np.einsum("bthd,bshd->bhts", q, k) / np.sqrt(q.shape[-1])
    logits = np.where(pattern.mask(q.shape[1]), logits, -np.inf)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bhts,bshd->bthd", weights, v)


def masked(q, k, v, pattern):
    """The definition, differentiable."""
    logits = jnp.einsum("bthd,bshd->bhts", q, k) / q.shape[-1] ** 0.5
    return jnp.einsum("bhts,bshd->bthd", jax.nn.softmax(jnp.where(pattern.mask(q.shape[1]), logits, -jnp.inf)), v)


def arrays(length, heads=2, width=8, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(4, 2, length, heads, width)), jnp.float32)


def value_and_gradients(attention, q, k, v, bar):
    out, pull = jax.vjp(attention, q, k, v)
    return out, *pull(bar)


@pytest.mark.parametrize(
    "pattern, length",
    [(Strided(7), 37), (Fixed(8, 3), 37), (LogSparse(4), 24), (Nested(), 37)]
    + [pytest.param(p, n, marks=pytest.mark.slow) for p in [*PATTERNS, Nested()] for n in (24, 37, 1)],
    ids=repr,
)
def test_merged_parts_equal_the_mask_in_value_and_gradient(pattern, length):
    q, k, v, bar = arrays(length)
    merged = functools.partial(merged_attention, pattern=pattern, fused=Plain())
    got = jax.jit(functools.partial(value_and_gradients, merged))(q, k, v, bar)
    expected = value_and_gradients(functools.partial(masked, pattern=pattern), q, k, v, bar)
    np.testing.assert_allclose(got[0], by_mask(np.float64(q), np.float64(k), np.float64(v), pattern), atol=2e-5)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-5)


@pytest.mark.slow
@pytest.mark.parametrize("pattern, length", [(Strided(3), 401), (Fixed(64, 1), 150)], ids=repr)
def test_splash_interpreted_equals_the_mask(pattern, length):
    q, k, v, bar = arrays(length, heads=1, width=64)
    splash = functools.partial(kernel_attention, pattern=pattern, kernel="splash", interpret=True)
    got = jax.jit(functools.partial(value_and_gradients, splash))(q, k, v, bar)
    for a, b in zip(got, value_and_gradients(functools.partial(masked, pattern=pattern), q, k, v, bar), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_a_part_without_pieces_is_no_kernels():
    @dataclasses.dataclass(frozen=True)
    class Late(Pattern):
        """The first keys become visible one by one, later than causal attention has them."""

        def allows(self, i, j):
            return (j == i) | (j < i // 2)

        def parts(self, length):
            return Band(1), Prefix(np.arange(length) // 2)

    assert dense_parts(Late(), 32) is None
    assert "distances" in choose(Late(), "tpu", "bfloat16", 64, 4096, 0.0).reason
