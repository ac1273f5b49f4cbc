"""UTF-8 bytes as tokens: no training, no files, and the smallest vocabulary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpt_jax.data.tokenizers.protocol import END_OF_TEXT, unicode_texts
from gpt_jax.disk import digest_of


class BytesTokenizer:
    """UTF-8 bytes as ids 0 to 255, and 256 for the end of a text."""

    FILE = "bytes.json"
    name = "bytes"
    vocab_size = 257
    end_of_text = 256
    digest = digest_of(["bytes", 257])
    lossless = True

    def encode(self, text: str) -> list[int]:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(text.encode()) for text in unicode_texts(texts)]

    def encode_to_arrays(self, texts: Sequence[str]) -> list[np.ndarray]:
        """As `encode_batch`, int32."""
        return [np.frombuffer(text.encode(), np.uint8).astype(np.int32) for text in unicode_texts(texts)]

    def decode(self, ids: Sequence[int]) -> str:
        """Bytes that are not UTF-8, and ids past the vocabulary, come out as U+FFFD."""
        spelled = [bytes([i]) for i in range(256)] + [END_OF_TEXT.encode()]
        return b"".join(spelled[i] if i < len(spelled) else b"\xff" for i in ids).decode(errors="replace")

    def losses(self, text: str, ids: Sequence[int]) -> dict[str, int]:
        """Nothing is lost."""
        return {}

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.FILE).write_text(json.dumps({"vocab_size": self.vocab_size}), encoding="utf-8")
