"""Blocks and the division into training and validation text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_jax.data.text import Document, blocks, divide, excerpt
from gpt_jax.errors import InputError

texts = st.text(alphabet="ab \n", max_size=60)


def documents(contents):
    return [Document.of(f"document {i}", text) for i, text in enumerate(contents)]


def selected(contents, division, split):
    return ["".join(parts) for parts in division.select(documents(contents), split)]


@given(st.lists(texts, max_size=6), st.integers(1, 9))
def test_blocks_are_the_text_whatever_parts_it_comes_in(parts, size):
    cut = list(blocks(parts, size))
    assert "".join(cut) == "".join(parts)
    assert cut == list(blocks(["".join(parts)], size))
    assert all(size <= len(block) <= 2 * size for block in cut[:-1])


def test_blocks_end_between_a_word_and_the_space_after_it():
    assert list(blocks(["one two three  four five six"], 6)) == ["one two", " three", "  four", " five six"]
    assert list(blocks(["abcdefghijk"], 3)) == ["abc", "def", "ghijk"]


@given(st.lists(texts, max_size=6), st.integers(0, 200), st.integers(0, 200))
def test_an_excerpt_is_a_slice(parts, start, stop):
    assert "".join(excerpt(parts, start, stop)) == "".join(parts)[start:stop]


def test_the_tail_of_a_single_document_is_held_out_by_characters():
    text = "é" * 899 + "x" + "tail" * 25 + "!!!"  # 1,003 characters
    division = divide(documents([text]), 0.1)
    assert selected([text], division, "train") == [text[:902]]
    assert selected([text], division, "validation") == [text[902:]]


def test_below_twenty_documents_the_tail_of_each_is_held_out():
    contents = [f"{i}" * 10 * (i + 1) for i in range(19)]
    division = divide(documents(contents), 0.3)
    assert selected(contents, division, "train") == [text[: int(len(text) * 0.7)] for text in contents]
    assert selected(contents, division, "validation") == [text[int(len(text) * 0.7) :] for text in contents]


unequal = st.lists(st.text(alphabet="abc", min_size=1, max_size=40), min_size=20, max_size=60, unique=True)


@given(unequal, st.floats(0.05, 0.5))
def test_from_twenty_documents_on_whole_ones_are_held_out(contents, fraction):
    division = divide(documents(contents), fraction)
    train, validation = selected(contents, division, "train"), selected(contents, division, "validation")
    assert sorted(train + validation) == sorted(contents)
    assert len(train) >= 1 and len(validation) >= 1
    wanted, held = fraction * sum(map(len, contents)), sum(map(len, validation))
    assert held <= wanted or len(validation) == 1
    # what was left out did not fit any more
    assert len(validation) == 1 or min(map(len, train)) > wanted - held


def test_the_division_follows_the_texts_and_not_their_order():
    contents = [f"document {i} " * (i % 7 + 1) for i in range(50)]
    there = set(selected(contents, divide(documents(contents), 0.1), "validation"))
    back = set(selected(contents[::-1], divide(documents(contents[::-1]), 0.1), "validation"))
    assert there == back and there


@pytest.mark.parametrize("copies", [2, 3])
def test_equal_documents_stay_on_one_side(copies):
    contents = [f"text {i}" for i in range(30)] * copies
    division = divide(documents(contents), 0.2)
    train, validation = selected(contents, division, "train"), selected(contents, division, "validation")
    assert not set(train) & set(validation)
    assert len(validation) % copies == 0 and validation


def test_empty_documents_are_in_neither_split():
    contents = ["", *(f"text {i}" for i in range(25)), ""]
    division = divide(documents(contents), 0.2)
    assert "" not in selected(contents, division, "train") + selected(contents, division, "validation")


def test_a_document_that_is_not_unicode_is_named():
    with pytest.raises(InputError, match="document 1 is not valid Unicode"):
        divide(documents(["fine", "\ud800"]), 0.1)
