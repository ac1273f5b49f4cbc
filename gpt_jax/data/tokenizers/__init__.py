"""Text to integers and back, behind one small protocol.

| name | vocabulary | round trip | module |
|---|---|---|---|
| `sentencepiece` | trained on the training documents, any size | lossless | sentence_piece.py |
| `bytes` | 256 bytes and end of text | lossless | byte_level.py |
| `gpt2` | OpenAI's, 50,257 | lossless | openai_bpe.py |
| `gpt1:FOLDER` | OpenAI's, 40,478 | lower case, spacing normalised | openai_bpe.py |

Lossless is meant for valid Unicode: text with half of a surrogate pair is refused. `<|endoftext|>` in a text is
ordinary text; the id `end_of_text` only ever comes from the preparation, and decodes to `<|endoftext|>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from gpt_jax.data.tokenizers.byte_level import BytesTokenizer
from gpt_jax.data.tokenizers.protocol import END_OF_TEXT, Tokenizer, continued, require_rows
from gpt_jax.errors import InputError, unknown

__all__ = [
    "END_OF_TEXT",
    "BytesTokenizer",
    "Tokenizer",
    "continued",
    "find_tokenizer",
    "load_tokenizer",
    "make_tokenizer",
    "require_rows",
]
FILES = ("sentencepiece.model", "bytes.json", "tokenizer.json", "vocab.json and merges.txt")
NAMES = ("sentencepiece", "bytes", "gpt2", "gpt2:FOLDER", "gpt1:FOLDER")


def make_tokenizer(name: str, vocab_size: int, documents: Callable[[], Iterable[str]] | None) -> Tokenizer:
    """The tokenizer that `DataConfig.tokenizer` names.

    Args:
      name: one of `NAMES`, with a folder in place of FOLDER.
      vocab_size: entries to train; the other tokenizers have a size of their own, which must not exceed it.
      documents: each call gives the training text from its start, in parts; only "sentencepiece" reads it.

    Raises:
      InputError: an unknown name, missing or damaged files, a size that the text does not support.
    """
    kind, _, folder = name.partition(":")
    if name == "sentencepiece":
        from gpt_jax.data.tokenizers.sentence_piece import train

        if documents is None:
            raise InputError("data.tokenizer: 'sentencepiece' is trained on documents, and none were given")
        return train(documents(), vocab_size)
    if name == "bytes":
        tokenizer: Tokenizer = BytesTokenizer()
    elif name == "gpt2":
        from gpt_jax.data.tokenizers.openai_bpe import packaged_gpt2

        tokenizer = packaged_gpt2()
    elif kind in ("gpt1", "gpt2") and folder:
        from gpt_jax.data.tokenizers.openai_bpe import from_vocabulary

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


def load_tokenizer(folder: Path | str) -> Tokenizer:
    """The tokenizer that `find_tokenizer` finds. Raises `InputError` where there is none, or a damaged one."""
    tokenizer = find_tokenizer(folder)
    if tokenizer is None:
        raise InputError(f"tokenizer: {str(folder)!r} holds none: expected {', '.join(FILES)}")
    return tokenizer


def find_tokenizer(folder: Path | str) -> Tokenizer | None:
    """Reads what `save` wrote, or the tokenizer of a Transformers weights folder (openai-gpt and gpt2 types).

    Returns None where there is none. Raises `InputError` on one that is damaged.
    """
    from gpt_jax.data.tokenizers import openai_bpe, sentence_piece

    folder = Path(folder)
    if (folder / sentence_piece.FILE).is_file():
        return sentence_piece.load(folder / sentence_piece.FILE)
    if (folder / BytesTokenizer.FILE).is_file():
        return BytesTokenizer()
    if (folder / openai_bpe.FILE).is_file():
        return openai_bpe.load(folder / openai_bpe.FILE)
    if openai_bpe.find_vocabulary(folder):
        return openai_bpe.from_vocabulary(None, folder)
    return None
