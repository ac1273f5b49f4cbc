"""Where scoring starts, how long texts are cut, and what does not fit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_jax import InputError
from gpt_jax.data.tokenizers import BytesTokenizer, Tokenizer, make_tokenizer
from gpt_jax.evaluation.inference.encoding import (
    Prompt,
    Scored,
    encode,
    excess,
    move_spaces,
    single_tokens,
    truncate,
    windows,
)
from gpt_jax.evaluation.inference.requests import Choice, Generate, LogLikelihood, Rolling

BYTES = BytesTokenizer()
END = BYTES.end_of_text


def one(request, tokenizer: Tokenizer = BYTES, context=64, stride=64) -> Any:
    return encode(tokenizer, [request], context, stride)[0]


def test_what_follows_the_contexts_tokens_is_scored_and_its_last_spaces_are_the_continuations():
    (row,) = one(LogLikelihood("ab ", "cd"))
    assert row == Scored(tuple(b"ab cd"), 2)
    assert one(Choice("ab", (" c", " de"))) == (Scored(tuple(b"ab c"), 2), Scored(tuple(b"ab de"), 2))
    assert move_spaces("a \n", "b") == ("a", " \nb")


def test_an_empty_context_is_end_of_text():
    assert one(LogLikelihood("", "ab")) == (Scored((END, *b"ab"), 1),)
    assert one(Rolling("ab")) == (Scored((END, *b"ab"), 1),)


def test_a_pair_is_encoded_as_it_would_stand_in_a_text():
    """GPT-2's " dog" is one token, whichever side of the boundary its space was written on."""
    gpt2 = make_tokenizer("gpt2", 50257, None)
    whole = tuple(gpt2.encode("The dog"))
    assert one(LogLikelihood("The ", "dog"), gpt2) == one(LogLikelihood("The", " dog"), gpt2) == (Scored(whole, 1),)


def test_a_token_that_spans_both_is_scored():
    gpt2 = make_tokenizer("gpt2", 50257, None)
    assert one(LogLikelihood("The d", "og"), gpt2) == (Scored(tuple(gpt2.encode("The dog")), 1),)


@given(st.integers(0, 200), st.integers(1, 30), st.data())
def test_windows_score_every_token_once_with_as_much_context_as_fits(length, context, data):
    stride = data.draw(st.integers(1, context))
    tokens = list(range(length + 1))
    scored = []
    for row in windows(tokens, context, stride):
        assert len(row.tokens) - 1 <= context and 1 <= len(row.tokens) - row.start <= stride
        assert row.tokens == tuple(range(row.tokens[0], row.tokens[-1] + 1))  # a run of the text
        assert row.tokens[0] == 0 or len(row.tokens) - 1 == context  # back to the start, or a full context
        scored += row.tokens[row.start :]
    assert scored == tokens[1:]


def test_a_stride_that_skips_tokens_is_refused():
    for stride in (0, 5):
        with pytest.raises(InputError, match="1 to 4"):
            windows(range(9), 4, stride)


def test_what_does_not_fit_says_by_how_much_and_can_be_cut_on_the_left():
    row = Scored(tuple(range(20)), 15)
    assert excess((row,), 19) == 0 and excess((row,), 12) == 7
    assert truncate((row,), 12) == (Scored(tuple(range(7, 20)), 8),)
    assert truncate((row,), 3) == (Scored((16, 17, 18, 19), 1),)
    prompt = Prompt(tuple(range(20)), Generate("", max_tokens=4))
    assert excess(prompt, 20) == 4
    cut = truncate(prompt, 20)
    assert isinstance(cut, Prompt) and cut.tokens == tuple(range(4, 20))
    with pytest.raises(InputError, match="max_tokens"):
        truncate(prompt, 4)


def test_a_word_of_several_tokens_is_not_forbidden():
    gpt2 = make_tokenizer("gpt2", 50257, None)
    assert single_tokens(gpt2, (" the", " antidisestablishmentarianism")) == tuple(gpt2.encode(" the"))
