"""What the rest of the library asks of a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from gpt_jax.data.text import require_unicode

END_OF_TEXT = "<|endoftext|>"


class Tokenizer(Protocol):
    """What the rest of the library asks of a tokenizer.

    Every id that it gives, and `end_of_text`, is in 0 .. `vocab_size` - 1. `encode` and `encode_batch` raise
    `InputError` on text that is not valid Unicode (`unicode_texts`).
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
    def decode(self, ids: Sequence[int]) -> str: ...
    def losses(self, text: str, ids: Sequence[int]) -> dict[str, int]: ...
    def save(self, folder: Path) -> None: ...


def unicode_texts(texts: Sequence[str]) -> list[str]:
    """The texts that a tokenizer is given. Raises `InputError` where one is not valid Unicode."""
    return [require_unicode(text, "text") for text in texts]


def continued(tokenizer: Tokenizer, start: Sequence[int], ids: Sequence[int]) -> str:
    """The text that `ids` add to that of `start`: with the space between, which GPT-1's entries do not hold."""
    return tokenizer.decode([*start, *ids])[len(tokenizer.decode(start)) :]
