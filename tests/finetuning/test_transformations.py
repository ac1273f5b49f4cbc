"""GPT-1's Figure 1, token by token; and batches that depend on seed and step alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_jax.errors import InputError
from gpt_jax.finetuning.transformations import (
    SpecialTokens,
    batch_rows,
    encode,
    longest,
    render,
    sequences,
    subset,
    trim,
)

S, D, E = 100, 101, 102
SPECIAL = SpecialTokens.after(100)
A, B, C = [1, 2, 3], [4, 5], [6]
FIGURE_1 = {
    "classification": ([A], [[S, 1, 2, 3, E]]),
    "entailment": ([A, B], [[S, 1, 2, 3, D, 4, 5, E]]),
    "similarity": ([A, B], [[S, 1, 2, 3, D, 4, 5, E], [S, 4, 5, D, 1, 2, 3, E]]),
    "multiple_choice": ([A, B, C, [7, 8]], [[S, 1, 2, 3, 4, 5, D, 6, E], [S, 1, 2, 3, 4, 5, D, 7, 8, E]]),
}
texts = st.lists(st.lists(st.integers(0, 99), max_size=12), min_size=2, max_size=2)


def test_the_special_tokens_come_after_the_vocabulary_in_the_released_order():
    assert (SPECIAL.start, SPECIAL.delimiter, SPECIAL.extract) == (S, D, E)


@pytest.mark.parametrize("shape", FIGURE_1)
def test_each_shape_is_the_papers_figure_1(shape):
    given_texts, expected = FIGURE_1[shape]
    assert [render(fields, SPECIAL, 32) for fields in sequences(shape, given_texts)] == expected
    assert longest(shape, [given_texts]) == max(map(len, expected))


@given(texts, st.integers(3, 30), st.sampled_from(["entailment", "similarity"]))
def test_trimming_never_loses_a_special_token_and_wastes_no_room(pair, length, shape):
    for fields in sequences(shape, pair):
        out = render(fields, SPECIAL, length)
        assert len(out) == min(length, sum(map(len, pair)) + 3)
        assert (out[0], out[-1], out.count(D)) == (S, E, 1)
        first, second = (text for (text,) in fields)
        middle = out.index(D)
        assert out[1:middle] == first[: middle - 1]
        assert out[middle + 1 : -1] == second[: len(out) - middle - 2]


@given(st.lists(st.lists(st.integers(0, 9), max_size=9), min_size=1, max_size=4), st.integers(0, 30))
def test_only_the_longest_texts_are_trimmed(given_texts, room):
    kept = trim(given_texts, room)
    most = max(map(len, kept))
    for text, rest in zip(given_texts, kept, strict=True):
        assert rest == text[: len(rest)]
        assert len(rest) == len(text) or len(rest) >= most - 1


def test_a_story_too_long_keeps_its_question_and_its_answer():
    (fields,) = sequences("multiple_choice", [list(range(50)), [60, 61], [70]])
    assert render(fields, SPECIAL, 12) == [S, 0, 1, 2, 3, 4, 5, 60, 61, D, 70, E]


def test_no_room_for_the_special_tokens_is_refused():
    (fields,) = sequences("entailment", [A, B])
    assert render(fields, SPECIAL, 3) == [S, D, E]
    with pytest.raises(InputError, match="max_length: 2 is not allowed: at least 3"):
        render(fields, SPECIAL, 2)


def test_padding_is_on_the_right_and_a_missing_answer_is_padding_only():
    encoded = encode("multiple_choice", [[A, B, C, C], [A, B, C]], [1, None], SPECIAL, 10, count=3)
    assert encoded.tokens_NKT.shape == (2, 3, 10)
    np.testing.assert_array_equal(encoded.tokens_NKT[0, 1], [S, 1, 2, 3, 4, 5, D, 6, E, -1])
    assert (encoded.tokens_NKT[0, 2] == -1).all() and (encoded.tokens_NKT[1, 1:] == -1).all()
    np.testing.assert_array_equal(encoded.labels_N, [1, -1])


def test_real_labels_are_never_cut():
    encoded = encode("similarity", [[A, B]] * 2, [3.8, None], SPECIAL, 5, real_labels=True)
    np.testing.assert_array_equal(encoded.labels_N, np.array([3.8, np.nan], np.float32))
    assert (encoded.tokens_NKT[..., -1] == E).all()


def test_an_epoch_takes_each_example_once_and_leaves_out_what_fills_no_batch():
    """1,497 examples in batches of 32: 46 updates an epoch, 138 in three, as the released ROCStories run."""
    epochs = [np.concatenate([batch_rows(1497, 32, 0, e * 46 + n) for n in range(46)]) for e in range(3)]
    for order in epochs:
        assert len(np.unique(order)) == len(order) == 46 * 32
    assert not np.array_equal(epochs[0], epochs[1])


def test_a_batch_is_a_function_of_seed_and_step():
    np.testing.assert_array_equal(batch_rows(100, 8, 3, 17), batch_rows(100, 8, 3, 17))
    assert not np.array_equal(batch_rows(100, 8, 3, 17), batch_rows(100, 8, 4, 17))
    assert sorted(batch_rows(5, 32, 0, 2)) == [0, 1, 2, 3, 4]


def test_a_smaller_draw_is_part_of_a_larger_one():
    small, large = subset(1000, 10, 0), subset(1000, 100, 0)
    assert len(small) == 10 and set(small) < set(large)
    assert set(small) != set(subset(1000, 10, 1))
    np.testing.assert_array_equal(subset(7, None, 0), np.arange(7))
