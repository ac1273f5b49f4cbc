"""Text to integers and back, behind one small protocol.

| name | vocabulary | round trip | module |
|---|---|---|---|
| `sentencepiece` | trained on the training documents, any size | lossless | sentence_piece.py |
| `bytes` | 256 bytes and end of text | lossless | here |
| `gpt2` | OpenAI's, 50,257 | lossless | openai_bpe.py |
| `gpt1:FOLDER` | OpenAI's, 40,478 | lower case, spacing normalised | openai_bpe.py |

Lossless is meant for valid Unicode: text with lone surrogates is refused. `<|endoftext|>` in a text is ordinary
text; the id `end_of_text` only ever comes from the preparation, and decodes to `<|endoftext|>`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from gpt_jax.data.cache import digest_of
from gpt_jax.errors import InputError, unknown

END_OF_TEXT = "<|endoftext|>"
NAMES = ("sentencepiece", "bytes", "gpt2", "gpt2:FOLDER", "gpt1:FOLDER")


class Tokenizer(Protocol):
    """What the rest of the library asks of a tokenizer.

    `end_of_text` is the id put before each document when documents are packed; GPT-1 has none.
    Two tokenizers have the same `digest` exactly when they give the same ids.
    """

    @property
    def name(self) -> str: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def end_of_text(self) -> int | None: ...
    @property
    def digest(self) -> str: ...
    def encode(self, text: str) -> list[int]: ...
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def save(self, folder: Path) -> None: ...


class BytesTokenizer:
    """UTF-8 bytes as ids 0 to 255, and 256 for the end of a text."""

    FILE = "bytes.json"
    name = "bytes"
    vocab_size = 257
    end_of_text = 256
    digest = digest_of(["bytes", 257])

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """Bytes that are not UTF-8 come out as U+FFFD."""
        end = END_OF_TEXT.encode()
        return b"".join(bytes([i]) if i < 256 else end for i in ids).decode(errors="replace")

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.FILE).write_text(json.dumps({"vocab_size": self.vocab_size}))


def make_tokenizer(name: str, vocab_size: int, documents: Callable[[], Iterable[str]] | None) -> Tokenizer:
    """The tokenizer that `DataConfig.tokenizer` names.

    Args:
      name: one of `NAMES`, with a folder in place of FOLDER.
      vocab_size: entries to train; the other tokenizers have a size of their own, which must not exceed it.
      documents: gives the training text anew at each call, in parts of any length; only "sentencepiece" reads it.

    Raises:
      InputError: an unknown name, missing or damaged files, a size that the text does not support.
    """
    kind, _, folder = name.partition(":")
    if name == "sentencepiece":
        from gpt_jax.data.sentence_piece import train

        if documents is None:
            raise InputError("data.tokenizer: 'sentencepiece' is trained on documents, and none were given")
        return train(documents(), vocab_size)
    if name == "bytes":
        tokenizer: Tokenizer = BytesTokenizer()
    elif name == "gpt2":
        from gpt_jax.data.openai_bpe import packaged_gpt2

        tokenizer = packaged_gpt2()
    elif kind in ("gpt1", "gpt2") and folder:
        from gpt_jax.data.openai_bpe import from_vocabulary

        tokenizer = from_vocabulary(kind, Path(folder))
    elif name == "gpt1":
        raise InputError("data.tokenizer: 'gpt1' is not allowed: gpt1:FOLDER, where OpenAI's two vocabulary files are")
    else:
        raise unknown("data.tokenizer", name, NAMES)
    if tokenizer.vocab_size > vocab_size:
        raise InputError(
            f"model.vocab_size: {vocab_size} is not allowed: data.tokenizer {name!r} has {tokenizer.vocab_size} entries"
        )
    return tokenizer


def continued(tokenizer: Tokenizer, start: Sequence[int], ids: Sequence[int]) -> str:
    """The text that `ids` add to that of `start`: with the space between, which GPT-1's entries do not hold."""
    return tokenizer.decode([*start, *ids])[len(tokenizer.decode(start)) :]


def load_tokenizer(folder: Path | str) -> Tokenizer:
    """Reads what `save` wrote, or the tokenizer of a Transformers weights folder (openai-gpt and gpt2 types).

    Raises:
      InputError: no tokenizer there, or a damaged one.
    """
    from gpt_jax.data import openai_bpe, sentence_piece

    folder = Path(folder)
    if (folder / sentence_piece.FILE).is_file():
        return sentence_piece.load(folder / sentence_piece.FILE)
    if (folder / BytesTokenizer.FILE).is_file():
        return BytesTokenizer()
    if (folder / openai_bpe.FILE).is_file():
        return openai_bpe.load(folder / openai_bpe.FILE)
    if openai_bpe.find_vocabulary(folder):
        return openai_bpe.from_vocabulary(None, folder)
    raise InputError(
        f"tokenizer: {str(folder)!r} holds none: expected {sentence_piece.FILE}, {BytesTokenizer.FILE}, "
        f"{openai_bpe.FILE}, or vocab.json and merges.txt"
    )
