"""SentencePiece byte-pair encoding, trained here, with every text coming back exactly.

Ids: 0 `<unk>` (never produced), 1 `<|endoftext|>`, 2 to 257 the bytes, then the pieces from the most frequent
merge on, then single characters. A character without a piece of its own is spelled in bytes, so nothing is unknown.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from gpt_jax.data.text import blocks
from gpt_jax.data.tokenizers.protocol import END_OF_TEXT, unicode_texts
from gpt_jax.disk import digest_of
from gpt_jax.errors import InputError

FILE = "sentencepiece.model"
BLOCK = 1000  # characters of one training sentence
SAMPLE = 40_000_000  # characters of text that training reads at most
RESERVED = "\u2585"  # SentencePiece leaves out every sentence that holds it: so sentences end there
SPACE = "\u2581"  # how SentencePiece writes a space; in a text itself it is spelled in bytes


class SentencePieceTokenizer:
    """A trained SentencePiece model. `model` is the serialised file."""

    name = "sentencepiece"
    lossless = True  # `load` refuses a model that does not spell bytes

    def __init__(self, model: bytes):
        import sentencepiece

        self._model = model
        self._processor: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.vocab_size: int = self._processor.vocab_size()
        ids = range(self.vocab_size)
        pieces = [[self._processor.id_to_piece(i), self._processor.get_score(i)] for i in ids]
        self.digest = digest_of(["sentencepiece", pieces])
        self.end_of_text: int = self._processor.piece_to_id(END_OF_TEXT)
        self._space = np.array([self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in SPACE.encode()], np.int32)

    @property
    def spells_bytes(self) -> bool:
        """Whether there is a piece for each byte, so that nothing is unknown."""
        return 0 not in [self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in range(256)]

    def encode(self, text: str) -> list[int]:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, in as many threads as there are cores."""
        return [ids.tolist() for ids in self.encode_to_arrays(texts)]

    def encode_to_arrays(self, texts: Sequence[str]) -> list[np.ndarray]:
        """As `encode_batch`, int32."""
        batch = self._processor.encode(unicode_texts(texts), num_threads=-1, return_type="numpy")
        for row, text in enumerate(texts):
            if SPACE in text:
                batch[row] = self._spelled(text)
        return batch

    def _spelled(self, text: str) -> np.ndarray:
        first, *rest = self._processor.encode(text.split(SPACE), return_type="numpy")
        return np.concatenate([first, *(ids for part in rest for ids in (self._space, part))])

    def decode(self, ids: Sequence[int]) -> str:
        """Bytes that are not UTF-8, and ids past the vocabulary, come out as U+FFFD."""
        special = {self.end_of_text: END_OF_TEXT}
        special_or_none = ((i, special.get(i, None if i < self.vocab_size else "\ufffd")) for i in map(int, ids))
        parts = groupby(special_or_none, key=lambda pair: pair[1])
        return "".join(
            text * len(list(run)) if text is not None else self._processor.decode([i for i, _ in run])
            for text, run in parts
        )

    def losses(self, text: str, ids: Sequence[int]) -> dict[str, int]:
        """Nothing is lost."""
        return {}

    def pieces(self) -> list[str]:
        """Every entry as SentencePiece writes it, by id; of two merges the one of the lower id is made first."""
        return [self._processor.id_to_piece(i) for i in range(self.vocab_size)]

    def is_text(self, i: int) -> bool:
        """Whether entry `i` stands for its own characters: not a byte, the unknown one or the end of text."""
        p = self._processor
        return not (p.is_byte(i) or p.is_control(i) or p.is_unknown(i) or p.is_unused(i))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(self._model)


def load(path: Path) -> SentencePieceTokenizer:
    """Reads a model file. Raises `InputError` if it is not one of ours."""
    try:
        tokenizer = SentencePieceTokenizer(path.read_bytes())
    except RuntimeError:
        raise InputError(f"tokenizer: {str(path)!r} is damaged: not a SentencePiece model") from None
    if tokenizer.end_of_text == 0:
        raise InputError(f"tokenizer: {str(path)!r} has no piece {END_OF_TEXT}")
    if not tokenizer.spells_bytes:
        raise InputError(f"tokenizer: {str(path)!r} has no pieces for bytes: text that it does not know would be lost")
    return tokenizer


def train(texts: Iterable[str], vocab_size: int) -> SentencePieceTokenizer:
    """Byte-pair encoding with exactly `vocab_size` entries; the same texts give the same model.

    Text past 40 million characters is sampled evenly; nothing else is left out. Pieces never cross a space, but may end
    in newlines. No piece holds U+2585: its bytes spell it.

    Raises:
      InputError: `vocab_size` is more than the text supports, or too small for its characters.
    """
    import sentencepiece

    pieces = (piece for text in texts for block in blocks([text], BLOCK) for piece in block.split(RESERVED))
    sentences = (piece for piece in pieces if piece)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(_sample(sentences, SAMPLE // BLOCK)),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            byte_fallback=True,
            control_symbols=[END_OF_TEXT],
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            split_digits=True,
            character_coverage=0.9995,
            max_sentence_length=1 << 16,
            minloglevel=4,
        )
    except RuntimeError as error:
        raise InputError(f"model.vocab_size: {vocab_size} is not allowed: {_allowed(str(error))}") from None
    return SentencePieceTokenizer(model.getvalue())


def _sample(items: Iterable[str], limit: int) -> list[str]:
    """At most `limit` items, evenly spaced, from a stream of unknown length."""
    kept, stride = [], 1
    for index, item in enumerate(items):
        if index % stride == 0:
            kept.append(item)
            if len(kept) == limit:
                kept, stride = kept[::2], stride * 2
    return kept


def _allowed(error: str) -> str:
    """SentencePiece's complaint about the size, in one line."""
    if "sentences_.empty()" in error:
        return f"there is no training text, or none but U+{ord(RESERVED):04X}"
    if most := re.search(r"value <= (\d+)", error):
        return f"this training text supports at most {most[1]}"
    if least := re.search(r"required_chars\. \d+ vs (\d+)", error):
        return f"at least {least[1]}, for the bytes and the characters of this training text"
    return " ".join(error.split())
