"""Decoding with a cache gives what the whole sequence gives, for every pattern, past every window."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_jax import GPT, ModelConfig
from gpt_jax.attention import Banded, Dense, Fixed, LogSparse, Strided
from gpt_jax.model import cache as cache_module
from gpt_jax.model import self_attention
from gpt_jax.model.cache import init_cache, read_positions

PATTERNS = [Dense(), Banded(4), Strided(3), Fixed(4, 1), LogSparse(2)]
slow = lambda *values: pytest.param(*values, marks=pytest.mark.slow)  # noqa: E731
TINY = ModelConfig(
    vocab_size=29,
    context_length=24,
    n_layer=2,
    n_head=2,
    d_model=8,
    initialization_std=0.4,
    attention_implementation="mask",
)
TOKENS = np.asarray(jax.random.randint(jax.random.key(1), (3, 24), 0, 29))


def rows(starts, counts):
    """`counts[b]` tokens of row b from `starts[b]` on, padded at the end with -1."""
    out = np.full((len(counts), max(counts)), -1, np.int32)
    for b, (start, count) in enumerate(zip(starts, counts, strict=True)):
        out[b, :count] = TOKENS[b, start : start + count]
    return out


@pytest.mark.parametrize(
    ("pattern", "scan_layers"),
    [*((pattern, False) for pattern in PATTERNS), *(slow(pattern, True) for pattern in PATTERNS)],
    ids=repr,
)
def test_cached_logits_equal_uncached_ones(pattern, scan_layers):
    """Prompts of different lengths, then tokens one by one, then two at once: past the window of every pattern."""
    config = dataclasses.replace(TINY, attention=(pattern,), n_layer=1 + scan_layers, scan_layers=scan_layers)
    params = jax.jit(GPT(config).init)(jax.random.key(0), TOKENS)["params"]
    apply = jax.jit(lambda t, cache=None: GPT(config).apply({"params": params}, t, cache=cache))
    full = np.asarray(apply(TOKENS))
    reached = np.zeros(3, int)
    cache = init_cache(config, 3)
    for counts in ((7, 12, 3), *((1, 1, 1),) * 8, (2, 2, 1), (1, 1, 1)):
        logits, cache = apply(rows(reached, counts), cache)
        for b, count in enumerate(counts):
            expected = full[b, reached[b] : reached[b] + count]
            np.testing.assert_allclose(np.asarray(logits)[b, :count], expected, atol=1e-5)
        reached += counts
        np.testing.assert_array_equal(cache.length_B, reached)
        assert np.isfinite(np.asarray(logits)).all()


@pytest.mark.parametrize("pattern", PATTERNS, ids=repr)
def test_both_orders_of_a_cache_give_the_same_logits(pattern, monkeypatch):
    """cuDNN's order, slots before heads, against the order of every other platform."""
    config = dataclasses.replace(TINY, attention=(pattern,), n_layer=1)
    params = jax.jit(GPT(config).init)(jax.random.key(0), TOKENS)["params"]
    apply = jax.jit(lambda t, cache: GPT(config).apply({"params": params}, t, cache=cache))

    def decoded(on_cuda):
        monkeypatch.setattr(cache_module, "on_cuda", lambda: on_cuda)
        cache, logits = init_cache(config, 3), []
        for start in (0, 9, 10, 11):
            stop = 9 if start == 0 else start + 1
            out, cache = apply(TOKENS[:, start:stop], cache)
            logits.append(out)
        return cache.layers[0].k.shape, np.concatenate(logits, axis=1)

    (by_head, ours), (by_slot, cudnns) = decoded(False), decoded(True)
    assert by_slot == (by_head[0], by_head[2], by_head[1], by_head[3]) != by_head
    np.testing.assert_allclose(ours, cudnns, atol=1e-5)


def test_a_layer_keeps_the_newest_tokens_that_its_parts_reach():
    """A band of 4; everything; the window of 2 and the powers of two below 24; blocks and all that came before."""
    patterns = (Banded(4), Dense(), LogSparse(2), Fixed(4, 1))
    cache = init_cache(dataclasses.replace(TINY, attention=patterns, n_layer=4), 1)
    assert [layer.slots for layer in cache.layers] == [4, 24, 17, 24]


@pytest.mark.parametrize(
    ("pattern", "reads"), [(Strided(8), 8 + 64 // 8 - 1), (LogSparse(4), 4 + 4), (Fixed(8, 2), 8 + 2 * 7)], ids=repr
)
def test_a_token_reads_as_many_keys_as_its_pattern_names(pattern, reads):
    """k + n/k, w + log2 n, and l + c (n/l - 1): not n."""
    positions = read_positions(pattern, jnp.array([63]), 64)
    assert positions is not None and positions.shape == (1, reads)


@given(st.integers(0, 39), st.integers(1, 9), st.integers(1, 9), st.sampled_from(["strided", "fixed", "log"]))
def test_reads_are_the_masks_row_each_key_once(i, size, summary, kind):
    pattern = {"strided": Strided(size), "fixed": Fixed(size, min(summary, size)), "log": LogSparse(size)}[kind]
    positions = np.asarray(read_positions(pattern, jnp.array([i]), 40))[0]
    read = positions[(positions >= 0) & (positions <= i)]
    assert sorted(read.tolist()) == np.nonzero(pattern.mask(40)[i])[0].tolist()


def test_a_cache_is_an_ordinary_pytree():
    cache = init_cache(TINY, 2)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(cache))
    assert jax.tree.structure(jax.tree.map(jnp.copy, cache)) == jax.tree.structure(cache)


@pytest.mark.parametrize("pattern", [Dense(), Banded(4)], ids=repr)
def test_one_token_may_be_attended_by_a_kernel_that_counts_keys(pattern, monkeypatch):
    """cuDNN's call says how many slots of the cache hold keys, and no mask; JAX's plain form of it stands in here."""
    calls = []

    def first_keys(q, k, v, count_B):
        calls.append(count_B)
        ones_B = jnp.ones_like(count_B)
        lengths = {"query_seq_lengths": ones_B, "key_value_seq_lengths": count_B}
        return jax.nn.dot_product_attention(q, k, v, **lengths, implementation="xla")

    monkeypatch.setattr(self_attention, "first_keys", first_keys)
    monkeypatch.setattr(self_attention.SelfAttention, "_decodes_by_kernel", lambda self, q, length: q.shape[1] == 1)
    config = dataclasses.replace(TINY, n_layer=1, attention=(pattern,))
    params = jax.jit(GPT(config).init)(jax.random.key(0), TOKENS)["params"]
    apply = lambda t, cache=None: GPT(config).apply({"params": params}, t, cache=cache)  # noqa: E731
    full = np.asarray(jax.jit(apply)(TOKENS))
    reached = np.array([2, 7, 3])
    _, cache = apply(rows(np.zeros(3, int), reached), init_cache(config, 3))
    for _ in range(4):
        logits, cache = apply(rows(reached, (1, 1, 1)), cache)
        np.testing.assert_allclose(np.asarray(logits)[:, 0], full[np.arange(3), reached], atol=1e-5)
        reached += 1
    assert len(calls) == 4 * config.n_layer


@pytest.mark.parametrize(
    ("pattern", "changes", "by_kernel"),
    [
        (Dense(), {}, True),
        (Banded(8), {}, True),
        (Strided(3), {}, False),
        (Dense(), {"attention_implementation": "mask"}, False),
        (Dense(), {"compute_dtype": "float32"}, False),
    ],
    ids=repr,
)
def test_decoding_asks_for_the_kernel_only_where_all_kept_keys_are_attended(pattern, changes, by_kernel, monkeypatch):
    monkeypatch.setattr(self_attention, "platform", lambda: "cuda")
    like = {"d_model": 16, "compute_dtype": "bfloat16", "attention_implementation": "auto", **changes}
    attention = self_attention.SelfAttention(dataclasses.replace(TINY, **like), pattern)
    one, two = (jnp.zeros((1, count, 2, 8), like["compute_dtype"]) for count in (1, 2))
    assert attention._decodes_by_kernel(one, 24) is by_kernel
    assert not attention._decodes_by_kernel(two, 24)
