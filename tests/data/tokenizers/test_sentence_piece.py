"""SentencePiece: trained here, exactly as large as asked for, and lossless."""

import pytest
from hypothesis import given

from gpt_jax.data.tokenizers import BytesTokenizer, make_tokenizer
from gpt_jax.errors import InputError
from tests.data.tokenizers.vocabularies import any_text


@given(any_text)
def test_sentencepiece_round_trip_is_lossless(sentencepiece, text):
    ids = sentencepiece.encode(text)
    assert sentencepiece.decode(ids) == text
    assert all(1 < i < 600 for i in ids)  # neither unknown nor end of text


def test_ids_past_the_vocabulary_decode_to_a_mark(sentencepiece):
    assert sentencepiece.decode([*sentencepiece.encode("ab"), 600]) == "ab\ufffd"


def test_sentencepiece_has_exactly_the_size_asked_for(sentencepiece, play):
    assert sentencepiece.vocab_size == 600
    assert make_tokenizer("sentencepiece", 601, lambda: [play]).vocab_size == 601


def test_sentencepiece_training_is_deterministic(sentencepiece, play):
    again = make_tokenizer("sentencepiece", 600, lambda: iter([play]))
    assert again.digest == sentencepiece.digest
    assert again.encode(play) == sentencepiece.encode(play)
    assert make_tokenizer("sentencepiece", 599, lambda: [play]).digest != sentencepiece.digest


def test_sentencepiece_learns_line_ends(sentencepiece, play):
    assert len(sentencepiece.encode(",\n")) == 1
    assert len(sentencepiece.encode(play)) < len(play) / 2


def test_empty_training_text_is_refused():
    with pytest.raises(InputError, match="there is no training text"):
        make_tokenizer("sentencepiece", 300, lambda: [])


def test_text_around_the_reserved_character_is_learned(play):
    """SentencePiece leaves out every sentence with U+2585, a bar of progress bars and sparklines."""
    lines = [line for line in play[:40_000].split("\n") if line]
    barred = make_tokenizer("sentencepiece", 400, lambda: ["\u2585".join(lines)])
    assert barred.digest == make_tokenizer("sentencepiece", 400, lambda: lines).digest
    text = "10% \u2585\u2585\u2581 done\n"
    assert barred.decode(barred.encode(text)) == text


def test_training_text_of_nothing_but_the_reserved_character_is_named():
    with pytest.raises(InputError, match=r"no training text, or none but U\+2585"):
        make_tokenizer("sentencepiece", 300, lambda: ["\u2585" * 50])


def test_every_character_of_unicode_comes_back(sentencepiece, gpt2):
    characters = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000]
    texts = ["".join(characters[start : start + 4096]) for start in range(0, len(characters), 4096)]
    for tokenizer in (sentencepiece, gpt2, BytesTokenizer()):
        assert [tokenizer.decode(ids) for ids in tokenizer.encode_batch(texts)] == texts
