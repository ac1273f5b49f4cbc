"""The closed forms of attention/costs.py equal what masks and XLA count."""

import functools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import pytest
from hypothesis import given

from gpt_jax.attention import Banded, Dense, Fixed, LogSparse, Strided
from gpt_jax.attention.block import block_attention
from gpt_jax.attention.costs import attention_bytes, attention_flops, computed_pairs, pairs

PATTERNS = [Dense(), Banded(40), Strided(40), Fixed(block=40, summary=3), LogSparse(40)]
widths = st.integers(1, 300)


def xla_flops(compiled):
    analysis = compiled.cost_analysis()
    assert analysis is not None
    return analysis["flops"]


@given(
    st.one_of(
        st.just(Dense()),
        st.builds(Banded, widths),
        st.builds(Strided, widths),
        widths.flatmap(lambda block: st.builds(Fixed, st.just(block), st.integers(1, block))),
        st.builds(LogSparse, widths),
    ),
    st.integers(1, 300),
)
def test_pairs_are_what_the_mask_holds(pattern, length):
    assert pairs(pattern, length) == pattern.mask(length).sum()
    assert computed_pairs(pattern, length) >= pairs(pattern, length)


def test_pairs_by_hand():
    assert pairs(Dense(), 4) == 10
    assert pairs(Strided(2), 6) == 3 * 6 - 3 + 2  # distances 0, 1, 2, and two pairs at distance 4
    by_row = [min(i, 64) + 1 + max(0, i // 64 - 1) for i in range(4096)]  # near ones, and multiples from the second on
    assert pairs(Strided(64), 4096) == sum(by_row) == 389_152
    assert pairs(LogSparse(1), 5) == 5 + 4 + 3 + 1


@pytest.mark.parametrize("length", [300, 777])
@pytest.mark.parametrize("pattern", PATTERNS, ids=repr)
def test_xla_counts_the_operations_of_block_attention(pattern, length):
    """XLA adds the softmax: some ten operations for each weight, against 4 x 64 in the products."""
    x = jax.ShapeDtypeStruct((1, length, 2, 64), jnp.float32)
    compiled = jax.jit(functools.partial(block_attention, pattern=pattern)).lower(x, x, x).compile()
    counted = xla_flops(compiled)
    formula = attention_flops(pattern, length, 2, 64, computed=True)
    assert formula <= counted * 1.001
    assert counted < 1.12 * formula


@pytest.mark.parametrize("length", [777, 8192])
@pytest.mark.parametrize("pattern", PATTERNS, ids=repr)
def test_bytes_are_those_of_xla_within_a_factor_of_two(pattern, length):
    x = jax.ShapeDtypeStruct((1, length, 2, 64), jnp.float32)
    memory = jax.jit(functools.partial(block_attention, pattern=pattern)).lower(x, x, x).compile().memory_analysis()
    assert memory is not None
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    assert 0.5 < held / attention_bytes(pattern, length, 2, 64) < 2
