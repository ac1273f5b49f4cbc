"""A tokenizer as Transformers reads it: `tokenizer.json` and `tokenizer_config.json`; our own file stands beside them.

| ours | as `tokenizer.json` | its ids |
|---|---|---|
| gpt2, gpt1 | as it is: it runs on the `tokenizers` library already | the same |
| bytes | a byte-level BPE without merges | the same |
| sentencepiece | a BPE with byte fallback, its merges in the order of the pieces | the same for text without U+2581 |

SentencePiece writes a space as U+2581, and a U+2581 of the text itself in bytes;
`tokenizers` cannot tell the two apart.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpt_jax.data.tokenizers import END_OF_TEXT, BytesTokenizer, Tokenizer
from gpt_jax.data.tokenizers.openai_bpe import BpeTokenizer
from gpt_jax.data.tokenizers.sentence_piece import FILE, SPACE, SentencePieceTokenizer
from gpt_jax.disk import write_atomically
from gpt_jax.errors import InputError

FILES = ("tokenizer.json", "tokenizer_config.json")


def write_tokenizer(tokenizer: Tokenizer, folder: Path, context_length: int) -> None:
    """Writes both `FILES`, and what `load_tokenizer` reads back. Raises `InputError` on a tokenizer of another kind."""
    match tokenizer:
        case BpeTokenizer():
            tokenizer.save(folder)
        case BytesTokenizer():
            tokenizer.save(folder)
            write_atomically(folder / FILES[0], _byte_level().to_str())
        case SentencePieceTokenizer():
            tokenizer.save(folder)
            write_atomically(folder / FILES[0], _byte_fallback(tokenizer).to_str())
        case _:
            raise InputError(f"tokenizer: {tokenizer.name!r} cannot be saved in Transformers' layout")
    end = END_OF_TEXT if tokenizer.end_of_text is not None else None
    values = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "bos_token": end,
        "eos_token": end,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,  # <|endoftext|> inside a text is text, as it is here
    }
    write_atomically(folder / FILES[1], json.dumps(values, indent=2) + "\n")


def what_differs(tokenizer: Tokenizer) -> str | None:
    """For which text Transformers' ids differ from ours, in one line; None where they never do."""
    if isinstance(tokenizer, SentencePieceTokenizer):
        return f"tokenizer.json gives the ids of {FILE}, except for text that holds U+2581 ({SPACE})"
    return None


def _byte_level() -> Any:
    """Byte b as id b: the byte-level alphabet in the order of its bytes, and no merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]  # GPT-2's bytes_to_unicode
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    vocabulary = {letters[byte]: byte for byte in range(256)} | {END_OF_TEXT: BytesTokenizer.end_of_text}
    inner: Any = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    return inner


def _byte_fallback(tokenizer: SentencePieceTokenizer) -> Any:
    """SentencePiece merges the neighbours that make the earliest piece, `tokenizers` those of the earliest merge."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    pieces = tokenizer.pieces()
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    whole = {piece for i, piece in enumerate(pieces) if tokenizer.is_text(i)}
    merges = [
        (piece[:at], piece[at:])
        for i, piece in enumerate(pieces)
        if tokenizer.is_text(i)
        for at in range(1, len(piece))
        if piece[:at] in whole and piece[at:] in whole
    ]
    inner: Any = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token=pieces[0], byte_fallback=True))
    inner.normalizer = normalizers.Replace(" ", SPACE)
    inner.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    return inner
