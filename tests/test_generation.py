"""Generation against the definition of each way to draw, and against the model run without a cache."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_jax import GPT, InputError, ModelConfig, generate, generation
from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Strided
from gpt_jax.generation import cut_tail
from gpt_jax.model.layers_layout import stack_layers

TINY = ModelConfig(
    vocab_size=23,
    context_length=32,
    n_layer=2,
    n_head=2,
    d_model=16,
    initialization_std=0.5,
    attention=(Banded(4), Fixed(4, 1)),
)
EVERY = dataclasses.replace(TINY, n_layer=5, attention=(Dense(), Banded(4), Strided(3), Fixed(4, 1), LogSparse(2)))
SMALL = dataclasses.replace(TINY, n_layer=1, attention=(Dense(),))  # where only the drawing matters
slow = lambda *values: pytest.param(*values, marks=pytest.mark.slow)  # noqa: E731
PROMPTS = [[3, 1, 4, 1, 5, 9, 2], [6, 5], [3] * 17]


def init(config):
    return jax.jit(GPT(config).init)(jax.random.key(0), jnp.zeros((1, 8), jnp.int32))["params"]


@pytest.fixture(scope="module")
def params():
    return init(TINY)


@pytest.fixture(scope="module")
def greedy(params):
    return repeated_argmax(TINY, params)


def repeated_argmax(config, params):
    """Token by token, the whole text run again each time: no cache, no padding."""
    padded = jax.jit(lambda tokens: GPT(config).apply({"params": params}, tokens)[0])
    texts = [list(prompt) for prompt in PROMPTS]
    for text in texts:
        for _ in range(12):
            logits_TV = np.asarray(padded(np.array([text + [0] * (32 - len(text))])))
            text.append(int(logits_TV[len(text) - 1].argmax()))
    return [text[len(prompt) :] for text, prompt in zip(texts, PROMPTS, strict=True)]


def test_greedy_generation_is_repeated_argmax_for_prompts_of_any_length(params, greedy):
    assert generate(TINY, params, PROMPTS, 12, temperature=0) == greedy


@pytest.mark.slow
def test_layers_of_every_pattern_generate_by_repeated_argmax():
    params = init(EVERY)
    assert generate(EVERY, params, PROMPTS, 12, temperature=0) == repeated_argmax(EVERY, params)


def test_one_prompt_alone_continues_as_in_a_batch(params, greedy):
    assert generate(TINY, params, PROMPTS[1:2], 12, temperature=0) == greedy[1:2]


def test_on_cuda_few_prompts_are_filled_up_with_rows_that_nobody_sees(params, greedy, monkeypatch):
    asked = []
    program = generation._generate
    monkeypatch.setattr(generation, "on_cuda", lambda: True)
    monkeypatch.setattr(generation, "_generate", lambda *a: asked.append(a[5].shape[0]) or program(*a))
    assert generate(TINY, params, PROMPTS, 12, temperature=0.0) == greedy
    assert asked == [8]


def test_scanned_layers_generate_the_same(params, greedy):
    scanned = dataclasses.replace(TINY, scan_layers=True)
    assert generate(scanned, stack_layers(TINY, params), PROMPTS, 12, temperature=0) == greedy


def test_generation_ends_before_the_stop_token(params, greedy):
    stop = greedy[0][5]
    expected = [row[: row.index(stop)] if stop in row else row for row in greedy]
    assert generate(TINY, params, PROMPTS, 12, temperature=0, stop_token=stop) == expected


@pytest.fixture(scope="module")
def small():
    return init(SMALL)


def test_seeds_decide_and_top_k_of_one_is_greedy(small):
    draw = lambda seed, **cut: generate(SMALL, small, PROMPTS, 12, 1.0, key=jax.random.key(seed), **cut)  # noqa: E731
    greedy = generate(SMALL, small, PROMPTS, 12, temperature=0)
    assert draw(0) == draw(0) != draw(1)
    assert draw(0, top_k=1) == greedy
    assert draw(5, top_p=1e-9) == greedy


def test_a_row_draws_the_same_whatever_stands_beside_it(small):
    key = jax.random.key(3)
    assert generate(SMALL, small, PROMPTS, 12, key=key)[0] == generate(SMALL, small, PROMPTS[:1], 12, key=key)[0]


def test_samples_follow_the_softmax_at_the_temperature(small):
    """4,000 first tokens against softmax(logits / T): a total variation of 3 % is chance, 30 % would be T = 1."""
    logits_BTV = jax.jit(GPT(SMALL).apply)({"params": small}, jnp.array([PROMPTS[0]]))
    logits_V = np.asarray(logits_BTV[0, -1], np.float64)
    drawn = [row[0] for row in generate(SMALL, small, [PROMPTS[0]] * 4_000, 1, 2.0, key=jax.random.key(0))]
    expected_V = np.exp(logits_V / 2) / np.exp(logits_V / 2).sum()
    assert np.abs(np.bincount(drawn, minlength=23) / 4_000 - expected_V).sum() / 2 < 0.06


@given(
    st.lists(st.integers(-400, 400), min_size=12, max_size=12, unique=True), st.integers(1, 12), st.floats(0.01, 1.0)
)
def test_the_tail_is_cut_as_the_definitions_say(hundredths, top_k, top_p):
    logits = np.array(hundredths) / 100
    kept_k = set(np.argsort(-logits)[:top_k].tolist())
    cut = np.asarray(cut_tail(jnp.float32(logits)[None], min(top_k, len(logits)), None))[0]
    assert set(np.nonzero(np.isfinite(cut))[0].tolist()) == kept_k
    order, p, total, nucleus = np.argsort(-logits), np.exp(logits) / np.exp(logits).sum(), 0.0, set()
    for v in order:
        if total >= top_p - 1e-6:
            break
        nucleus.add(int(v))
        total += p[v]
    cut = np.asarray(cut_tail(jnp.float32(logits)[None], None, top_p))[0]
    kept = set(np.nonzero(np.isfinite(cut))[0].tolist())
    assert kept == nucleus or abs(p[list(kept & nucleus)].sum() - top_p) < 1e-4  # a tie with top_p, within float32


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": 1.0, "key": None}, "key"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"max_new_tokens": -1}, "max_new_tokens"),
        ({"max_new_tokens": 30}, "context of 32"),
        ({"prompts": [[]]}, "prompt 0"),
        ({"prompts": [[1], [23]]}, "prompt 1: token 23"),
    ],
)
def test_wrong_arguments_are_named(wrong, named):
    arguments = {"prompts": PROMPTS, "max_new_tokens": 4, "temperature": 0.0, **wrong}
    with pytest.raises(InputError, match=named):
        generate(TINY, {}, **arguments)


@pytest.mark.parametrize("top_k", [1, 2, 3, 5])
def test_ties_at_the_cut_keep_exactly_k_the_lowest_ids_first(top_k):
    cut = np.asarray(cut_tail(jnp.array([[0.0, 2.0, 1.0, 1.0, 1.0, 3.0]]), top_k, None))[0]
    assert np.nonzero(np.isfinite(cut))[0].tolist() == sorted([5, 1, 2, 3, 4][:top_k])


@pytest.mark.parametrize("stop", [-1, 2.5, TINY.vocab_size, True, "a"])
def test_a_stop_token_that_is_no_entry_is_refused(params, stop):
    with pytest.raises(InputError, match="stop_token: "):
        generate(TINY, params, PROMPTS, 2, temperature=0, stop_token=stop)


def test_ties_at_the_nucleus_keep_as_few_as_hold_it():
    logits = jnp.zeros((1, 8))
    for top_p, kept in ((1e-40, 1), (0.1, 1), (0.2, 2), (0.5, 4), (0.51, 5)):
        cut = np.asarray(cut_tail(logits, None, jnp.float32(top_p)))[0]
        assert np.nonzero(np.isfinite(cut))[0].tolist() == list(range(kept))


@pytest.mark.parametrize(
    ("dtype", "tied"), [("float32", True), ("bfloat16", False), slow("float32", False), slow("bfloat16", True)]
)
def test_every_limit_of_sampling_is_greedy_to_the_last_token(small, dtype, tied):
    """With tied logits (weights of zero) greedy is token 0; no limit may draw another of the equals, or NaN's."""
    params = jax.tree.map(jnp.zeros_like, small) if tied else small
    params, config = jax.tree.map(lambda x: x.astype(dtype), params), dataclasses.replace(SMALL, param_dtype=dtype)
    greedy = generate(config, params, PROMPTS, 6, temperature=0)
    assert not tied or greedy == [[0] * 6] * 3
    for seed, limit in enumerate(
        (
            {"top_k": 1},
            {"top_p": 1e-9},
            {"top_p": 1e-40},
            {"top_p": 1e-300},
            {"top_k": 1, "top_p": 1e-40},
            {"temperature": 1e-9},
            {"temperature": 1e-40},
            {"temperature": 5e-324},
            {"temperature": 1e-40, "top_p": 0.9},
            {"temperature": 1e30, "top_k": 1},
        )
    ):
        assert generate(config, params, PROMPTS, 6, key=jax.random.key(seed), **limit) == greedy, limit


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.uint64, jnp.int32])
def test_prompts_are_arrays_of_any_integer_type(params, greedy, dtype):
    array = jnp.array if dtype is jnp.int32 else np.array
    as_rows = [array(prompt, dtype) for prompt in PROMPTS]
    assert generate(TINY, params, as_rows, 12, temperature=0) == greedy
    assert generate(TINY, params, as_rows[1][None], 12, temperature=0) == greedy[1:2]  # two dimensions
    assert generate(TINY, params, as_rows[1], 12, temperature=0) == greedy[1:2]  # one: a single row
    assert generate(TINY, params, [list(row) for row in as_rows], 12, temperature=0) == greedy


@pytest.mark.parametrize("wrong", [2.7, 2.0, True, "3", None, -1, 23, np.float32(2), np.bool_(True), 10**30])
def test_a_token_that_is_no_whole_number_of_the_vocabulary_is_named_with_its_row(wrong):
    with pytest.raises(InputError, match=r"^prompt 1: token .* is not allowed: whole numbers from 0 to 22$"):
        generate(TINY, {}, [[1], [2, wrong]], 4, temperature=0)


@pytest.mark.parametrize("wrong", ["text", [1, 2], [[1], "ab"], [[1], None], np.ones((2, 2)), np.zeros((2, 0), int), 7])
def test_prompts_that_are_no_rows_are_refused_in_one_line(wrong):
    with pytest.raises(InputError, match=r"^prompt") as refused:
        generate(TINY, {}, wrong, 4, temperature=0)
    assert "\n" not in str(refused.value)


def test_a_raw_key_draws_what_its_typed_one_does_and_any_implementation_serves(small):
    draw = lambda key: generate(SMALL, small, PROMPTS, 12, key=key)  # noqa: E731
    assert draw(jax.random.PRNGKey(3)) == draw(jax.random.key(3))
    assert draw(jax.random.key(3, impl="rbg")) != draw(jax.random.key(3))
    for wrong in (3, np.zeros(3, np.uint32), jax.random.split(jax.random.key(0))):
        with pytest.raises(InputError, match=r"^key"):
            draw(wrong)


def test_nothing_to_do_is_done(params):
    assert generate(TINY, params, [], 5, temperature=0) == []
    assert generate(TINY, params, [[1]], 0, temperature=0) == [[]]
