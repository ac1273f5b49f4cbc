"""Rows are padded to few lengths; a further length is added only where it saves more than it costs."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from gpt_jax.evaluation.inference.batching import batches, bucket, fitted

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=40)


@given(st.integers(1, 5000))
def test_buckets_are_few_and_hold_their_length(length):
    size = bucket(length)
    assert length <= size <= max(16, 2 * length)
    assert size & (size - 1) == 0 or (size % 3 == 0 and (size // 3) & (size // 3 - 1) == 0)


@given(LENGTHS)
def test_where_a_compilation_is_never_worth_it_the_lengths_are_the_buckets(lengths):
    width_of = fitted(lengths, math.inf)
    assert [width_of(length) for length in lengths] == [bucket(length) for length in lengths]


@given(LENGTHS)
def test_where_compilations_cost_nothing_less_than_eight_tokens_are_padded(lengths):
    width_of = fitted(lengths, 0)
    assert all(length <= width_of(length) < length + 8 for length in lengths)


@given(st.lists(st.integers(97, 128), min_size=1, max_size=12), st.sampled_from([0, 5, 20, 60, 200]))
def test_no_other_choice_of_multiples_of_eight_is_cheaper(lengths, worth):
    """All choices of widths of the bucket of 128, counted one by one."""

    def cost(widths):
        padded = sum(min(width for width in widths if width >= length) for length in lengths)
        return padded + worth * sum(width != 128 for width in widths)

    choices = (c for n in range(1, 5) for c in itertools.combinations((104, 112, 120, 128), n))
    cheapest = min(cost(widths) for widths in choices if max(widths) >= max(lengths))
    width_of = fitted(lengths, worth)
    assert cost({width_of(length) for length in lengths}) == cheapest


def test_items_of_one_kind_stand_together_the_longest_first():
    assert batches([3, 5, 3, 3, 5], lambda n: (n, None), 6) == [[5], [5], [3, 3], [3]]
