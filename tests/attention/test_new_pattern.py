"""A pattern that the library does not know trains, is counted, decodes, goes through a config's text and compiles.

`Dilated` is the example of CONTRIBUTING.md, run from the page. Each pattern is tried with its parts and without.
"""

import dataclasses
import functools
import json
import re
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from gpt_jax import GPT, ModelConfig, generate
from gpt_jax.attention import Pattern, attend, check_pattern
from gpt_jax.attention.costs import attention_flops, computed_pairs, pairs
from gpt_jax.attention.parts import Band, Prefix
from gpt_jax.config import RunConfig, TrainingConfig, digest, from_dict, override, to_dict
from gpt_jax.model.cache import init_cache
from gpt_jax.model.self_attention import attention_computed_by
from gpt_jax.parallel.lowering import lower_step
from gpt_jax.parallel.mesh import make_mesh
from gpt_jax.training.state import init_state
from gpt_jax.training.step import make_train_step

SECTION = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## A new pattern")[2]
EXAMPLE: dict[str, Any] = {"__name__": "contributing"}
exec(re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)[0], EXAMPLE)
Dilated = EXAMPLE["Dilated"]


@dataclasses.dataclass(frozen=True)
class Global(Pattern):
    """The first `first` tokens, and the `window` newest."""

    first: int
    window: int

    def allows(self, i, j):
        return (j <= i) & ((j < self.first) | (i - j < self.window))

    def parts(self, length):
        return Band(self.window), Prefix(np.clip(np.arange(length) + 1 - self.window, 0, self.first))


class DilatedByMask(Dilated):
    def parts(self, length):
        return None


class GlobalByMask(Global):
    def parts(self, length):
        return None


PATTERNS = [Dilated(4, 3), DilatedByMask(4, 3), Global(2, 5), GlobalByMask(2, 5)]
HAVE_PARTS = [Dilated(4, 3), Global(2, 5)]
named = pytest.mark.parametrize("pattern", PATTERNS, ids=str)
slow = lambda *values: pytest.param(*values, marks=pytest.mark.slow)  # noqa: E731
small = st.integers(1, 12)
any_pattern = st.one_of(st.builds(Dilated, small, small), st.builds(Global, small, small))


def run_config(pattern, **model):
    shape = {"vocab_size": 29, "context_length": 24, "n_layer": 1, "n_head": 2, "d_model": 8, "initialization_std": 0.4}
    still = dict.fromkeys(("embedding_dropout", "attention_dropout", "residual_dropout"), 0.0)
    training = TrainingConfig(batch_tokens=48, train_tokens=96)
    return RunConfig(model=ModelConfig(attention=(pattern,), **{**shape, **still, **model}), training=training)


TOKENS = np.asarray(jax.random.randint(jax.random.key(1), (2, 25), 0, 29), np.int32)


def test_a_dilated_window_attends_every_third_token():
    assert np.nonzero(Dilated(4, 3).mask(20)[19])[0].tolist() == [10, 13, 16, 19]
    assert np.nonzero(Global(2, 5).mask(20)[19])[0].tolist() == [0, 1, 15, 16, 17, 18, 19]


@given(any_pattern, st.integers(1, 60))
def test_parts_hold_what_the_pattern_allows(pattern, length):
    check_pattern(pattern, length)


@settings(max_examples=settings().max_examples // 8)
@given(any_pattern, st.integers(1, 60))
def test_value_and_gradient_equal_the_mask(pattern, length):
    q, k, v, out_bar = jax.random.normal(jax.random.key(length), (4, 1, length, 1, 4))

    @functools.partial(jax.jit, static_argnums=0)
    def value_and_gradients(implementation, q, k, v):
        out, pull = jax.vjp(lambda q, k, v: attend(q, k, v, pattern, implementation), q, k, v)
        return out, *pull(out_bar)

    for ours, definition in zip(
        value_and_gradients("block", q, k, v), value_and_gradients("mask", q, k, v), strict=True
    ):
        np.testing.assert_allclose(ours, definition, atol=1e-4)


@pytest.mark.parametrize("pair", [PATTERNS[:2], slow(PATTERNS[2:])], ids=str)
def test_it_trains_and_its_parts_train_as_its_mask_does(pair):
    """Layers scanned and recomputed, three steps."""
    losses = []
    for pattern in pair:
        config = run_config(pattern, n_layer=2, scan_layers=True, remat="full")
        step, state = jax.jit(make_train_step(config)), jax.jit(functools.partial(init_state, config))()
        for _ in range(3):
            state, metrics = step(state, TOKENS[None], np.float32(1e-2), np.uint32(0))
            losses.append(float(metrics["train/loss"]))
    assert losses[2] < losses[1] < losses[0]
    np.testing.assert_allclose(losses[:3], losses[3:], rtol=1e-4)


@named
@pytest.mark.parametrize("length", [1, 24, 101])
def test_its_pairs_are_counted(pattern, length):
    assert pairs(pattern, length) == pattern.mask(length).sum() <= computed_pairs(pattern, length)
    assert attention_flops(pattern, length, 2, 4) == 4 * pattern.mask(length).sum() * 2 * 4
    if pattern not in HAVE_PARTS:
        assert computed_pairs(pattern, length) == length**2


@pytest.mark.parametrize("pattern", [Dilated(4, 3), GlobalByMask(2, 5), *map(slow, PATTERNS[1:3])], ids=str)
def test_decoding_with_a_cache_gives_the_uncached_logits(pattern):
    config = run_config(pattern).model
    params = jax.jit(GPT(config).init)(jax.random.key(0), TOKENS[:, :24])["params"]
    apply = jax.jit(lambda t, cache=None: GPT(config).apply({"params": params}, t, cache=cache))
    full, cache, start = apply(TOKENS[:, :24]), init_cache(config, 2), 0
    for count in (8, *(1,) * 16):
        logits, cache = apply(TOKENS[:, start : start + count], cache)
        np.testing.assert_allclose(logits, full[:, start : start + count], atol=1e-5)
        start += count
    assert start == 24
    prompt = TOKENS[0, :9].tolist()
    tokens = list(prompt)
    for _ in range(6):
        padded = np.zeros((2, 24), np.int32)
        padded[0, : len(tokens)] = tokens
        tokens.append(int(apply(padded)[0, len(tokens) - 1].argmax()))
    assert generate(config, params, [prompt], 6, temperature=0) == [tokens[9:]]


def test_a_cache_keeps_what_the_parts_reach():
    assert [init_cache(run_config(pattern).model, 1).layers[0].slots for pattern in PATTERNS] == [10, 24, 24, 24]


@named
def test_it_goes_through_a_config_s_text(pattern):
    config = run_config(pattern)
    read = from_dict(json.loads(json.dumps(to_dict(config))))
    assert read == config and digest(read) == digest(config)
    assert override(RunConfig(), {"model.attention": str(pattern)}).model.attention == (pattern,)


@pytest.mark.parametrize("pattern", [Global(2, 5), slow(DilatedByMask(4, 3))], ids=str)
def test_its_training_step_compiles(pattern):
    config = run_config(pattern)
    compiled = lower_step(config, make_mesh(config.mesh, jax.devices()[:1]), 1, 2).compile()
    memory = compiled.memory_analysis()
    assert memory is not None and memory.temp_size_in_bytes > 0


def test_a_run_says_what_computes_it():
    said = [attention_computed_by(run_config(pattern).model, "cpu") for pattern in PATTERNS]
    assert said == [
        "Dilated(window=4, rate=3) by block",
        "DilatedByMask(window=4, rate=3) by mask, at dense cost",
        "Global(first=2, window=5) by block",
        "GlobalByMask(first=2, window=5) by mask, at dense cost",
    ]


def test_memory_of_a_pattern_with_parts_grows_with_its_pairs():
    """4,096 tokens: the mask's float32 weights alone are 64 MiB a head."""
    x = jax.ShapeDtypeStruct((1, 4096, 1, 16), jnp.float32)
    for pattern, fits in ((Dilated(16, 4), True), (DilatedByMask(16, 4), False)):
        compiled = jax.jit(functools.partial(attend, pattern=pattern)).lower(x, x, x).compile()
        memory = compiled.memory_analysis()
        assert memory is not None and (memory.temp_size_in_bytes < 2**24) == fits
