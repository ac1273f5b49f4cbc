"""GPT-2's encoding by tiktoken: the ids of `tokenizers`, or not used at all."""

import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from gpt_jax.data.tokenizers import BytesTokenizer, load_tokenizer
from gpt_jax.data.tokenizers.merging import byte_of_character, merging_by_id
from tests.data.tokenizers.vocabularies import any_text


def byte_pairs(merges, **more):
    """A `tokenizers.Tokenizer` of all bytes and these merges, its ids in their order."""
    entries = dict.fromkeys([*byte_of_character(), *("".join(merge) for merge in merges)])
    inner = Tokenizer(models.BPE(vocab={entry: i for i, entry in enumerate(entries)}, merges=merges, **more))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return inner


def test_bytes_are_written_as_tokenizers_writes_them():
    characters = byte_of_character()
    assert sorted(characters) == sorted(pre_tokenizers.ByteLevel.alphabet()) and len(set(characters.values())) == 256
    for character in "aé\n 日":
        written = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(character)[0][0]
        assert bytes(characters[c] for c in written) == character.encode()


@given(any_text)
@example("  a \n\n  b\t\t c  ")
@example("I'll 'S don't\u2028\x85\u3000x ½ ١٢")
def test_gpt2_ids_are_those_of_tokenizers(gpt2, text):
    assert gpt2._by_id is not None
    assert gpt2.encode(text) == gpt2._inner.encode(text, add_special_tokens=False).ids


def test_a_play_has_the_ids_of_tokenizers(gpt2, play):
    lines = play.split("\n")
    expected = [row.ids for row in gpt2._inner.encode_batch(lines, add_special_tokens=False)]
    assert gpt2.encode_batch(lines) == expected
    arrays = gpt2.encode_to_arrays(lines)
    assert [ids.tolist() for ids in arrays] == expected and {ids.dtype for ids in arrays} == {np.dtype(np.int32)}


@st.composite
def merge_lists(draw):
    """Merges of three letters, each of two entries that are there already: few of them were ever learned so."""
    entries, merges = ["a", "b", "c"], []
    for _ in range(draw(st.integers(0, 8))):
        merge = (draw(st.sampled_from(entries)), draw(st.sampled_from(entries)))
        if merge not in merges:
            merges.append(merge)
            entries.append("".join(merge))
    return merges


@given(merge_lists(), st.lists(st.text("abc", max_size=12), min_size=1, max_size=20))
@example([("b", "c"), ("a", "b"), ("ab", "c")], ["abc", "aabcc"])  # "abc" is an entry that its letters never make
@example([("a", "b"), ("ab", "c"), ("b", "c"), ("a", "bc")], ["abc"])  # made in two ways
def test_whatever_the_merges_the_ids_are_those_of_tokenizers(merges, texts):
    inner = byte_pairs(merges)
    encoding = merging_by_id(inner)
    if encoding is not None:
        assert [encoding.encode_ordinary(text) for text in texts] == [row.ids for row in inner.encode_batch(texts)]


def added(token):
    inner = byte_pairs([("a", "b")])
    inner.add_tokens([token])
    return inner


def lacking_a_byte():
    inner = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return inner


def splitting(splitter):
    inner = byte_pairs([("a", "b")])
    inner.pre_tokenizer = splitter
    return inner


def in_other_order():
    ids = {entry: i for i, entry in enumerate([*byte_of_character(), "bc", "ab"])}
    inner = Tokenizer(models.BPE(vocab=ids, merges=[("a", "b"), ("b", "c")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return inner


OTHERS = {
    "an entry that its bytes never make": lambda: byte_pairs([("b", "c"), ("a", "b"), ("ab", "c")]),
    "an entry made in two ways": lambda: byte_pairs([("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc")]),
    "ids in another order than the merges": in_other_order,
    "a token that is matched in text": lambda: added(AddedToken("abba", special=False)),
    "bytes without an entry": lacking_a_byte,
    "a space put in front": lambda: splitting(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "no words": lambda: splitting(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)),
    "other words": lambda: splitting(pre_tokenizers.Whitespace()),
    "words kept whole": lambda: byte_pairs([("a", "b")], ignore_merges=True),
    "merges left out by chance": lambda: byte_pairs([("a", "b")], dropout=0.5),
}


@pytest.mark.parametrize("kind", list(OTHERS))
def test_an_encoding_that_may_differ_is_left_to_tokenizers(kind, tmp_path):
    inner = OTHERS[kind]()
    assert merging_by_id(inner) is None
    if "chance" not in kind:
        expected = inner.encode("abc abba bc", add_special_tokens=False).ids
        inner.save(str(tmp_path / "tokenizer.json"))
        loaded = load_tokenizer(tmp_path)
        assert loaded.encode("abc abba bc") == expected and loaded.encode_to_arrays(["abc"])[0].dtype == np.int32


def test_special_tokens_in_a_text_are_text():
    inner = added(AddedToken("abba", special=True))
    ids = [inner.token_to_id(entry) for entry in ("ab", "b", "a")]
    assert merging_by_id(inner).encode_ordinary("abba") == ids


@pytest.mark.parametrize("piece", ["a", " ", "\n", "ab", "é", "1"])
def test_a_word_of_a_million_characters_takes_no_square_of_its_length(gpt2, piece):
    gpt2.encode(piece)
    text = piece * (1_100_000 // len(piece)) + "x"  # tiktoken breaks off at a million spaces before a letter
    start = time.process_time()
    ids = gpt2.encode(text)
    assert time.process_time() - start < 10  # its square: minutes
    assert gpt2.decode(ids) == text


def test_arrays_of_bytes_hold_the_ids(play):
    tokenizer, texts = BytesTokenizer(), [play[:100], "", "é日"]
    assert [ids.tolist() for ids in tokenizer.encode_to_arrays(texts)] == tokenizer.encode_batch(texts)


def test_importing_the_tokenizers_starts_no_encoder():
    code = "import sys, gpt_jax.data.tokenizers.openai_bpe; print({'tiktoken', 'tokenizers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8").stdout.strip() == "set()"
