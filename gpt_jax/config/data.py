"""Where text comes from, and how it becomes tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpt_jax.config.checks import check_values, require


@dataclass(frozen=True)
class DataConfig:
    """Where text comes from and how it becomes tokens.

    `source`: "shakespeare" (built in), "tfds:NAME", "local" (all text below --data-dir) / "local:PATH", or a pair of
    data/pairs/composition.py ("sums" is made; "scan_length" and the like are read below --data-dir).
    `tokenizer`: "sentencepiece" (trained here, to model.vocab_size entries), "bytes", "gpt2", "gpt1:FOLDER",
    "gpt2:FOLDER".
    `packing`: "documents" puts `<|endoftext|>` before each document (GPT-2/3); "contiguous" does not (GPT-1).
    Documents are held out whole, by a hash of their text; below 20 documents, the tail of each is.
    """

    source: str = "shakespeare"
    tokenizer: str = "sentencepiece"
    packing: Literal["documents", "contiguous"] = "documents"
    validation_fraction: float = 0.1

    def __post_init__(self):
        check_values(self, "data")
        require(
            0 < self.validation_fraction < 1,
            "data.validation_fraction", self.validation_fraction, "0 < fraction < 1",
        )  # fmt: skip
