"""Block attention equals attention through the mask, for every pattern, and costs what it should."""

import functools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from gpt_jax.attention import band as band_attention
from gpt_jax.attention import prefix as prefix_attention
from gpt_jax.attention.block import block_attention
from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Strided

PATTERNS = [Dense(), Banded(7), Strided(6), Fixed(block=8, summary=3), LogSparse(5)]
named = pytest.mark.parametrize("pattern", PATTERNS, ids=repr)
slow = lambda *values: pytest.param(*values, marks=pytest.mark.slow)  # noqa: E731

widths = st.integers(1, 70)
patterns = st.one_of(
    st.just(Dense()),
    st.builds(Banded, widths),
    st.builds(Strided, widths),
    widths.flatmap(lambda block: st.builds(Fixed, st.just(block), st.integers(1, block))),
    st.builds(LogSparse, widths),
)


jitted = jax.jit(block_attention, static_argnames=("pattern",))


@pytest.fixture
def pieces(monkeypatch):
    """Limits so small that short sequences take the paths of long ones."""
    monkeypatch.setattr(prefix_attention, "STORED", 300)
    monkeypatch.setattr(band_attention, "AT_ONCE", 2000)


def masked(qkv, pattern, out_bar=None):
    """The definition in float64 NumPy: minus infinity outside the mask, softmax. With `out_bar`, the gradients too."""
    q, k, v = (np.asarray(x.astype(jnp.float32), np.float64).swapaxes(1, 2) for x in qkv)
    scale = q.shape[-1] ** -0.5
    logits = np.where(pattern.mask(q.shape[2]), q @ k.swapaxes(-1, -2) * scale, -np.inf)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out = (weights @ v).swapaxes(1, 2)
    if out_bar is None:
        return out
    out_bar = out_bar.swapaxes(1, 2)
    weights_bar = out_bar @ v.swapaxes(-1, -2)
    logits_bar = weights * (weights_bar - (weights * weights_bar).sum(-1, keepdims=True)) * scale
    gradients = logits_bar @ k, logits_bar.swapaxes(-1, -2) @ q, weights.swapaxes(-1, -2) @ out_bar
    return out, *(x.swapaxes(1, 2) for x in gradients)


def qkv(length, batch=2, heads=2, width=4, dtype=jnp.float32):
    random = np.random.default_rng(length)
    q, k, v = random.normal(size=(3, batch, length, heads, width))
    return jnp.asarray(q, dtype), jnp.asarray(k, dtype), jnp.asarray(v, dtype)


def assert_equals_mask(pattern, arrays):
    out_bar = np.random.default_rng(0).normal(size=arrays[0].shape)

    @jax.jit
    def value_and_gradients(q, k, v):
        out, pull = jax.vjp(lambda q, k, v: block_attention(q, k, v, pattern), q, k, v)
        return out, *pull(jnp.asarray(out_bar, out.dtype))

    ours, theirs = value_and_gradients(*arrays), masked(arrays, pattern, out_bar)
    for name, a, b, tolerance in zip(["out", "dq", "dk", "dv"], ours, theirs, (1e-5, 1e-4, 1e-4, 1e-4), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=f"{pattern} {name}")


@settings(max_examples=settings().max_examples // 4)
@given(patterns, st.integers(1, 140))
def test_any_pattern_at_any_length_equals_the_mask_in_value_and_gradient(pattern, length):
    assert_equals_mask(pattern, qkv(length, batch=1))


@named
@pytest.mark.parametrize("length", [slow(1), 150])
def test_long_paths_equal_the_mask_in_value_and_gradient(pieces, pattern, length):
    assert_equals_mask(pattern, qkv(length, batch=1))


@pytest.mark.parametrize("batch, heads, width", [slow(1, 1, 1), (3, 5, 2)])
def test_any_batch_heads_and_width(batch, heads, width):
    for pattern in (Strided(6), LogSparse(5)):
        assert_equals_mask(pattern, qkv(37, batch, heads, width))


@named
def test_future_keys_get_zero_gradient_and_allowed_ones_do_not(pattern):
    q, k, v = qkv(40, batch=1, heads=1)
    query = 29
    dk = jax.jit(jax.grad(lambda k: jnp.sin(block_attention(q, k, v, pattern)[0, query]).sum()))(k)
    np.testing.assert_array_equal(np.any(np.array(dk[0, :, 0]) != 0, axis=-1), pattern.mask(40)[query])


@named
def test_bfloat16_is_within_its_rounding_of_float64(pattern):
    """Bound: 2**-7 of the largest output, two roundings of bfloat16's 8 bits; logits and softmax are float32."""
    q, k, v = qkv(64, dtype=jnp.bfloat16)
    exact = masked((q, k, v), pattern)
    out = jitted(q, k, v, pattern)
    assert out.dtype == jnp.bfloat16
    assert np.abs(np.asarray(out, np.float64) - exact).max() < 2**-7 * np.abs(exact).max()


@named
def test_large_logits_do_not_overflow(pattern):
    q, k, v = qkv(50)
    np.testing.assert_allclose(jitted(200 * q, k, v, pattern), masked((200 * q, k, v), pattern), rtol=0, atol=1e-3)


@named
def test_jit_vmap_and_checkpoint_change_nothing(pattern):
    arrays = [jnp.stack([x, 2 * x]) for x in qkv(33)]
    plain = np.stack([masked([x[n] for x in arrays], pattern) for n in range(2)])
    attention = functools.partial(block_attention, pattern=pattern)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.checkpoint(attention)))(*arrays), plain, atol=1e-5)


def dropped_weights(pattern, length, rate, *seeds, heads=2):
    """The attention matrix after dropout by each seed, (H, T, T), and without: one-hot values give the weights."""
    q, k, _ = qkv(length, batch=1, heads=heads, width=length)
    q, k = q / 4, k / 4
    v = jnp.broadcast_to(jnp.eye(length)[None, :, None], (1, length, heads, length))
    attention = jax.jit(functools.partial(block_attention, pattern=pattern, dropout_rate=rate))
    dropped = [attention(q, k, v, dropout_key=jax.random.key(seed)) for seed in seeds]
    return *(np.array(out[0]).swapaxes(0, 1) for out in dropped), masked((q, k, v), pattern)[0].swapaxes(0, 1)


@named
@pytest.mark.parametrize("long", [slow(False), True])
def test_dropout_keeps_each_probability_at_its_rate_and_scales_it(pattern, long, request):
    if long:
        request.getfixturevalue("pieces")
    rate, length = 0.25, 192
    dropped, plain = dropped_weights(pattern, length, rate, 1)
    mask = np.broadcast_to(pattern.mask(length), dropped.shape)
    assert (dropped[~mask] == 0).all()
    kept = (dropped != 0)[mask]
    np.testing.assert_allclose(dropped[mask][kept], (plain / (1 - rate))[mask][kept], rtol=1e-3)
    assert abs(kept.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / kept.size)
    # Independent: across heads, and across queries and keys a block or a tile apart, drops agree as chance has it.
    keep, allowed = dropped != 0, mask[0]
    others = [(keep[0], keep[1], allowed)]
    for n in (1, 16, 32, 64):
        others.append((keep[0, n:], keep[0, :-n], allowed[n:] & allowed[:-n]))
        others.append((keep[0, n:, n:], keep[0, :-n, :-n], allowed[n:, n:] & allowed[:-n, :-n]))
    for one, other, valid in others:
        agree = (one == other)[valid]
        by_chance = rate**2 + (1 - rate) ** 2
        assert agree.size == 0 or abs(agree.mean() - by_chance) < 5 * 0.5 / np.sqrt(agree.size)


@named
def test_the_same_key_drops_the_same_and_another_key_does_not(pieces, pattern):
    first, again, other, _ = dropped_weights(pattern, 64, 0.5, 1, 1, 2)
    np.testing.assert_array_equal(first, again)
    assert ((first != 0) != (other != 0)).any()


@named
def test_gradients_pass_through_the_dropped_weights_of_the_forward_pass(pieces, pattern):
    """The output is linear in v, so its derivative along v is itself: true only if both passes drop the same."""
    q, k, v = qkv(64, batch=1)
    attention = functools.partial(block_attention, pattern=pattern, dropout_rate=0.5, dropout_key=jax.random.key(3))
    total, dv = jax.jit(jax.value_and_grad(lambda v: attention(q, k, v).sum()))(v)
    np.testing.assert_allclose((dv * v).sum(), total, rtol=1e-4)


@pytest.mark.parametrize("pattern", [Dense(), Strided(128), slow(Banded(128)), slow(LogSparse(128))], ids=repr)
def test_the_weights_of_a_long_sequence_are_never_held_at_once(pattern):
    """n = 16,384: the n x n float32 weights of one head alone are 1 GiB; the program's temporaries stay below."""
    length = 16_384
    x = jax.ShapeDtypeStruct((1, length, 1, 64), jnp.float32)
    gradients = jax.jit(jax.grad(lambda q, k, v: block_attention(q, k, v, pattern).sum(), (0, 1, 2)))
    memory = gradients.lower(x, x, x).compile().memory_analysis()
    assert memory is not None and memory.temp_size_in_bytes < 2**27


def test_batch_and_heads_stay_sharded():
    """No axis is merged with batch or heads: a program sharded over them moves nothing between devices."""
    mesh = jax.sharding.AbstractMesh((2, 2), ("data", "tensor"), axis_types=(jax.sharding.AxisType.Explicit,) * 2)
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data", None, "tensor", None))
    x = jax.ShapeDtypeStruct((2, 50, 2, 4), jnp.float32, sharding=sharding)
    with jax.sharding.use_abstract_mesh(mesh):
        for pattern in PATTERNS:
            out = jax.eval_shape(functools.partial(block_attention, pattern=pattern), x, x, x)
            assert out.sharding.spec == sharding.spec, pattern
