"""A source divided in two, and one split of it as a stream of tokens."""

from __future__ import annotations

import functools
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from gpt_jax.data.text import Division, Source, blocks, described, divide, utf8_size
from gpt_jax.data.tokenizers import Tokenizer
from gpt_jax.errors import InputError

BLOCK = 1 << 14  # characters tokenized in one piece
BATCH = 1 << 20  # characters tokenized at once
WORKERS = 2  # batches in work: the end of one keeps one core busy, and the start of the next the others
AHEAD = 4  # batches read before the first of them is waited for
Progress = Callable[[str, int, int | None], None]
EncodedBatch = tuple[np.ndarray, Counter[str]]  # a batch's ids, int32, and what they do not hold of its text


@dataclass(frozen=True)
class DividedText:
    """A source's documents, divided into "train" and "validation". `progress(stage, done, total)` in UTF-8 bytes."""

    source: Source
    validation_fraction: float
    progress: Progress

    @functools.cached_property
    def division(self) -> Division:
        """Which characters train. Reads all documents once. Raises `InputError` if there are none."""
        division = divide(
            self.source.documents(), self.validation_fraction, lambda done: self.progress("reading", done, None)
        )
        if not division.lengths.any():
            said = f"; left out: {described(self.source.left_out)}" if self.source.left_out else ""
            raise InputError(f"data.source: {self.source.name!r} holds no text{said}")
        return division

    def select(self, split: str, stage: str) -> Iterator[Iterator[str]]:
        """The text of each document in `split`, as parts; `stage` names what they are read for.

        Its progress counts each character as the bytes that the source's characters have on average.
        """
        done, size = 0, Fraction(self.division.bytes, int(self.division.lengths.sum()))
        total = int(self.division.characters(split) * size)

        def counted(parts: Iterator[str]) -> Iterator[str]:
            nonlocal done
            for part in parts:
                yield part
                done += len(part)
                self.progress(stage, int(done * size), total)

        return (counted(parts) for parts in self.division.select(self.source.documents(), split))


class TokenStream:
    """The tokens of one split; after a pass over `batches`, `tokens`, `bytes`, `documents` and `losses` (what the
    tokenizer's ids do not hold of the text, by kind) are its counts.

    Under `packed`, the tokenizer's `end_of_text` stands before each document, if it has one.
    """

    def __init__(self, text: DividedText, tokenizer: Tokenizer, split: str, packed: bool):
        self._text, self._tokenizer, self._split = text, tokenizer, split
        end_of_text = [] if tokenizer.end_of_text is None or not packed else [tokenizer.end_of_text]
        self._separator = np.array(end_of_text, np.int32)
        self.tokens = self.bytes = self.documents = 0
        self.losses: Counter[str] = Counter()

    def batches(self, first: int) -> Iterator[np.ndarray]:
        """The batches from number `first` on: int32, 1-D.

        Batches are tokenized in the background, with all cores, while the caller does something else. Batches before
        `first` are read and counted. They are tokenized only if the tokenizer may lose text.
        """
        self.tokens = self.bytes = self.documents = 0
        self.losses.clear()
        needed = first if self._tokenizer.lossless else 0
        waiting: deque[tuple[int, Future[EncodedBatch]]] = deque()
        with ThreadPoolExecutor(WORKERS) as executor:
            for number, batch in enumerate(self._batches_of_text()):
                if number >= needed:
                    waiting.append((number, executor.submit(self._encode, batch)))
                if len(waiting) > AHEAD:
                    yield from self._counted(waiting.popleft(), first)
            while waiting:
                yield from self._counted(waiting.popleft(), first)

    def _counted(self, encoded: tuple[int, Future[EncodedBatch]], first: int) -> Iterator[np.ndarray]:
        number, future = encoded
        tokens, losses = future.result()
        self.losses.update(losses)
        if number >= first:
            self.tokens += len(tokens)
            yield tokens

    def _batches_of_text(self) -> Iterator[list[tuple[bool, str]]]:
        """Blocks of text, each with whether a document starts with it, about `BATCH` characters together."""
        batch, size = [], 0
        for parts in self._text.select(self._split, f"tokenizing the {self._split} split"):
            self.documents += 1
            for number, block in enumerate(blocks(parts, BLOCK)):
                batch.append((number == 0, block))
                size += len(block)
                self.bytes += utf8_size(block)
                if size >= BATCH:
                    yield batch
                    batch, size = [], 0
        if batch:
            yield batch

    def _encode(self, batch: list[tuple[bool, str]]) -> EncodedBatch:
        rows, losses = self._tokenizer.encode_to_arrays([text for _, text in batch]), Counter()
        if not self._tokenizer.lossless:
            for (_, text), ids in zip(batch, rows, strict=True):
                losses.update(self._tokenizer.losses(text, ids.tolist()))
        separated = ((self._separator, ids) if starts else (ids,) for (starts, _), ids in zip(batch, rows, strict=True))
        tokens = np.concatenate([ids for pair in separated for ids in pair])
        size = self._tokenizer.vocab_size
        if len(tokens) and not 0 <= tokens.min() <= tokens.max() < size:
            wrong = tokens[(tokens < 0) | (tokens >= size)][0]
            raise InputError(
                f"tokenizer {self._tokenizer.name!r}: it gives id {wrong}, and 0 to {size - 1} are allowed"
            )
        return tokens, losses
