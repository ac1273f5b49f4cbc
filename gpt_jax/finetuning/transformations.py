"""Labelled texts as token sequences: the input transformations of GPT-1's Figure 1.

    classification    [s] text [e]
    entailment        [s] premise $ hypothesis [e]
    similarity        [s] text 1 $ text 2 [e]   and   [s] text 2 $ text 1 [e]
    multiple choice   [s] context question $ answer k [e]   for each answer

A sequence is made of fields with the delimiter $ between them; a field is one or more texts in a row, with nothing
between them. Start, delimiter and extract are new tokens, after the vocabulary.

Axes: N examples, K sequences of an example, T time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt_jax.data.tokenizers import Tokenizer
from gpt_jax.errors import InputError, unknown

PADDING = -1  # right of a sequence; looked up as token 0, never attended to by a real token, never scored
SPECIAL_TOKENS = 3
Tokens = Sequence[int]
Fields = tuple[tuple[Tokens, ...], ...]


@dataclass(frozen=True)
class SpecialTokens:
    """The ids of [s], $ and [e]: the three after a vocabulary (train.py of the released code has this order)."""

    start: int
    delimiter: int
    extract: int

    @classmethod
    def after(cls, vocab_size: int) -> SpecialTokens:
        return cls(vocab_size, vocab_size + 1, vocab_size + 2)


@dataclass(frozen=True)
class EncodedExamples:
    """Examples as integers.

    `tokens_NKT` is int32, padded on the right with -1; a sequence of padding only is not there (an example with fewer
    answers than another). `labels_N` is int32 or, for real labels, float32; -1 or NaN where there is none.
    """

    tokens_NKT: np.ndarray
    labels_N: np.ndarray

    def __len__(self) -> int:
        return len(self.labels_N)

    def __getitem__(self, rows: np.ndarray | slice) -> EncodedExamples:
        return EncodedExamples(self.tokens_NKT[rows], self.labels_N[rows])


def sequences(shape: str, texts: Sequence[Tokens]) -> list[Fields]:
    """The sequences of one example as fields. `texts` are tokens: one; two; or context, question and answers."""
    match shape:
        case "classification":
            return [((texts[0],),)]
        case "entailment":
            return [((texts[0],), (texts[1],))]
        case "similarity":
            return [((texts[0],), (texts[1],)), ((texts[1],), (texts[0],))]
        case "multiple_choice":
            return [((texts[0], texts[1]), (answer,)) for answer in texts[2:]]
    raise unknown("task shape", shape, ("classification", "entailment", "similarity", "multiple_choice"))


def render(fields: Fields, special: SpecialTokens, length: int) -> list[int]:
    """One sequence of at most `length` tokens.

    A sequence that is too long is trimmed text by text: the longest text loses its last token until all texts fit. Of
    equally long texts, the first one loses it.
    Special tokens are never lost. (The released code cuts each text to n_ctx / 2 - 2 tokens, which wastes room where
    one text is short.) Raises `InputError` where `length` has no room for the special tokens.
    """
    room = length - len(fields) - 1
    if room < 0:
        raise InputError(f"max_length: {length} is not allowed: at least {len(fields) + 1}, for the special tokens")
    texts = iter(trim([text for field in fields for text in field], room))
    out = [special.start]
    for number, field in enumerate(fields):
        out += [special.delimiter] if number else []
        for _ in field:
            out += next(texts)
    return [*out, special.extract]


def trim(texts: Sequence[Tokens], room: int) -> list[list[int]]:
    """`texts` cut to `room` tokens in all: the longest (of equals, the first) loses tokens from its end."""
    lengths = [len(text) for text in texts]
    for _ in range(sum(lengths) - room):
        lengths[lengths.index(max(lengths))] -= 1
    return [list(text[:length]) for text, length in zip(texts, lengths, strict=True)]


def tokenize(examples: Sequence[Any], tokenizer: Tokenizer) -> list[list[list[int]]]:
    """The tokens of each text of each example (gpt_jax.data.tasks.Example)."""
    tokens = iter(tokenizer.encode_batch([text for example in examples for text in example.texts]))
    return [[next(tokens) for _ in example.texts] for example in examples]


def longest(shape: str, tokenized: Iterable[Sequence[Tokens]]) -> int:
    """The tokens of the longest sequence, with special tokens. It is 0 without examples."""
    every = (fields for texts in tokenized for fields in sequences(shape, texts))
    return max((sum(len(t) for field in fields for t in field) + len(fields) + 1 for fields in every), default=0)


def encode(
    shape: str,
    tokenized: Sequence[Sequence[Tokens]],
    labels: Sequence[int | float | None],
    special: SpecialTokens,
    length: int,
    count: int | None = None,
    real_labels: bool = False,
) -> EncodedExamples:
    """All examples as one array, `length` tokens wide. Labels are never cut: they are not part of the sequences.

    Args:
      tokenized: what `tokenize` gives.
      labels: whole numbers, or real ones with `real_labels`; None where there is none.
      count: sequences per example, K; none: the most of any example.
    """
    rendered = [[render(fields, special, length) for fields in sequences(shape, texts)] for texts in tokenized]
    count = max(map(len, rendered), default=1) if count is None else count
    tokens_NKT = np.full((len(rendered), count, length), PADDING, np.int32)
    for rows, example in zip(tokens_NKT, rendered, strict=True):
        for row, tokens in zip(rows, example, strict=False):
            row[: len(tokens)] = tokens
    if real_labels:
        return EncodedExamples(
            tokens_NKT, np.array([np.nan if label is None else label for label in labels], np.float32)
        )
    return EncodedExamples(tokens_NKT, np.array([-1 if label is None else label for label in labels], np.int32))


def subset(count: int, size: int | None, seed: int) -> np.ndarray:
    """`size` of `count` examples (none: all), drawn by the seed: int64. A smaller draw is part of a larger one."""
    order = np.random.default_rng([seed, 1]).permutation(count)
    return np.arange(count) if size is None or size >= count else np.sort(order[:size])


def batch_rows(count: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """The examples of update `step` (from 0), of `count`: a pure function of seed and step, int64 `(batch,)`.

    Each epoch has an order of its own. Examples that do not fill a batch are left out of that epoch, as in the released
    code (iter_data). A batch larger than `count` holds all examples.
    """
    batch_size = min(batch_size, count)
    epoch, number = divmod(step, count // batch_size)
    order = np.random.default_rng([seed, 2, epoch]).permutation(count)
    return order[number * batch_size : (number + 1) * batch_size]
