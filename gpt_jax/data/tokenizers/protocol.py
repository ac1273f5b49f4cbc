"""What the rest of the library asks of a tokenizer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from gpt_jax.errors import InputError, require_unicode

END_OF_TEXT = "<|endoftext|>"
WORTH_THREADS = 1 << 15  # characters
Ids = TypeVar("Ids")


class Tokenizer(Protocol):
    """What a tokenizer must do.

    Every id that it gives, and `end_of_text`, is in 0 .. `vocab_size` - 1. `encode_to_arrays` gives the ids of
    `encode_batch` as int32 arrays: a corpus is too large for lists. The three methods that encode raise `InputError` on
    text that is not valid Unicode (`unicode_texts`).
    `end_of_text` is the id put before each document when documents are packed; GPT-1 has none.
    Two tokenizers have the same `digest` exactly when they give the same ids.
    A `lossless` one gives every text back; of others, `losses` counts by kind what a text holds and its ids do not.
    """

    @property
    def name(self) -> str: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def end_of_text(self) -> int | None: ...
    @property
    def digest(self) -> str: ...
    @property
    def lossless(self) -> bool: ...
    def encode(self, text: str) -> list[int]: ...
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]: ...
    def encode_to_arrays(self, texts: Sequence[str]) -> list[np.ndarray]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def losses(self, text: str, ids: Sequence[int]) -> dict[str, int]: ...
    def save(self, folder: Path) -> None: ...


def require_rows(tokenizer: Tokenizer, rows: int, where: str) -> None:
    """Raises `InputError` that begins with `where`, if a model of `rows` entries cannot look up every id."""
    if tokenizer.vocab_size > rows:
        given = f"its tokenizer has {tokenizer.vocab_size} entries and its model {rows}"
        raise InputError(f"{where}: {given}: at most as many are allowed")


def unicode_texts(texts: Sequence[str]) -> list[str]:
    """The texts that a tokenizer is given. Raises `InputError` where one is not valid Unicode."""
    return [require_unicode(text, "text") for text in texts]


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(encode: Callable[[str], Ids], texts: Sequence[str]) -> list[Ids]:
    """`encode` of each text, in as many threads as there are cores; it must be one that lets other threads run."""
    if cores() == 1 or len(texts) == 1 or sum(map(len, texts)) < WORTH_THREADS:
        return [encode(text) for text in texts]
    size = -(-len(texts) // (4 * cores()))
    chunks = [texts[start : start + size] for start in range(0, len(texts), size)]
    with ThreadPoolExecutor(cores()) as executor:
        rows = executor.map(lambda chunk: [encode(text) for text in chunk], chunks)
        return [row for chunk in rows for row in chunk]


def continued(tokenizer: Tokenizer, start: Sequence[int], ids: Sequence[int]) -> str:
    """The text that `ids` add to that of `start`: with the space between, which GPT-1's entries do not hold."""
    return tokenizer.decode([*start, *ids])[len(tokenizer.decode(start)) :]
