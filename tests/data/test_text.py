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
    with pytest.raises(InputError, match=r"document 1: .* valid Unicode text"):
        divide(documents(["fine", "\ud800"]), 0.1)


VARIANTS = (
    lambda text: text,
    lambda text: text + "\n",
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("\n", "  \n") + " \t\n\n",
    lambda text: text.replace("\n", "\r"),
)


def test_copies_that_differ_in_ends_of_line_stay_on_one_side_and_are_counted():
    originals = [f"first line of {n}\n second line\n\nthird {n}" for n in range(40)]
    contents = [variant(text) for text in originals for variant in VARIANTS]
    division = divide(documents(contents), 0.1)
    assert division.copies == 4 * 40
    assert set(division.cuts.tolist()) <= {0, *division.lengths.tolist()}
    held = (division.cuts == 0).reshape(40, 5)
    assert (held.all(1) | ~held.any(1)).all()
    assert 0.05 < division.characters("validation") / division.lengths.sum() < 0.11


def test_white_space_that_changes_a_text_makes_no_copy():
    contents = [f"{n}{text}" for n in range(10) for text in ("a\n\nb", "a\nb", "a b", "a  b", " a b")]
    assert divide(documents(contents), 0.1).copies == 0


@given(st.text(alphabet="a \r\n\t", max_size=30), st.integers(0, 30))
def test_copies_are_found_whatever_parts_they_come_in(text: str, cut: int):
    whole, parts = Document.of("whole", text), Document("parts", lambda: iter((text[:cut], text[cut:])))
    other = Document.of("other", text.replace("\r\n", "\n").replace("\r", "\n").rstrip())
    assert divide([whole, parts, other], 0.1).copies == (len(text) > 0) + bool(other and text.strip())


@pytest.mark.parametrize("contents", [["one text of many words"] * 50, ["one text"] * 30 + ["another"] * 30])
def test_where_whole_texts_are_no_tenth_the_tail_of_each_is_held_out(contents: list[str]):
    division = divide(documents(contents), 0.1)
    assert (division.cuts == [int(len(text) * 0.9) for text in contents]).all()
    assert division.copies == len(contents) - len(set(contents))


def test_one_text_that_outweighs_the_others_is_not_held_out_whole():
    division = divide(documents(["x" * 1000, *(f"text {n}" for n in range(19))]), 0.05)
    assert division.characters("validation") < 0.11 * division.lengths.sum()
