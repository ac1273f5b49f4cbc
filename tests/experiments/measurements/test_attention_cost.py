"""The cost of attention against the length: exponents, and that sparse patterns save memory."""

import math

import pytest

from experiments.measurements.attention_cost import exponent, forward_and_backward, sized
from gpt_jax.attention.costs import pairs
from gpt_jax.attention.patterns import Banded, Dense, LogSparse, Strided

LENGTHS = [2**p for p in range(12, 21, 2)]


def test_an_exponent_is_recovered_from_a_power_law():
    assert exponent([10, 100, 1000], [7 * n**1.5 for n in (10, 100, 1000)]) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("pattern", "expected"), [(Dense(), 2.0), (Strided(1), 1.5), (Banded(64), 1.0)], ids=lambda x: repr(x)
)
def test_pairs_grow_with_the_exponent_of_theory(pattern, expected):
    assert exponent(LENGTHS, [pairs(sized(pattern, n), n) for n in LENGTHS]) == pytest.approx(expected, abs=0.02)


def test_log_sparse_pairs_are_n_log_n_and_strided_ones_are_not():
    per_n_log_n = {
        pattern: [pairs(sized(pattern, n), n) / (n * math.log2(n)) for n in LENGTHS]
        for pattern in (LogSparse(1), Strided(1))
    }
    assert max(per_n_log_n[LogSparse(1)]) < 1.1
    assert per_n_log_n[Strided(1)][-1] > 5 * per_n_log_n[Strided(1)][0]


def test_a_strided_layer_needs_less_memory_than_a_dense_one():
    _, dense = forward_and_backward(Dense(), 512, repeats=1)
    _, strided = forward_and_backward(Strided(22), 512, repeats=1)
    assert 0 < strided < dense
