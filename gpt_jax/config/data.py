"""Where text comes from, and how it becomes tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpt_jax.config.checks import Checks


@dataclass(frozen=True)
class DataConfig:
    """Where text comes from and how it becomes tokens.

    `source`: "shakespeare" (built in), "plays_train" (a part of it: data/scenes.py), "mappings" (small tasks, made:
    data/mappings.py), "hf:NAME", "tfds:NAME", "local" (all text below --data-dir) / "local:PATH", or a pair of
    data/pairs/composition.py ("sums" is made; "scan_length" and the like are read below --data-dir); or a mixture of
    them by weight: "0.6*local:web, 0.4*shakespeare"
    (data/mixture.py).
    `tokenizer`: "sentencepiece" (trained here, to model.vocab_size entries), "bytes", "gpt2", "gpt1:FOLDER",
    "gpt2:FOLDER".
    `text_key`: the key or column that holds a row's text, in .jsonl and .parquet files and in data sets by name.
    `packing`: "documents" puts `<|endoftext|>` before each document (GPT-2/3); "contiguous" does not (GPT-1).
    Documents are held out whole, by a hash of their text; below 20 documents, the tail of each is.
    """

    source: str = "shakespeare"
    tokenizer: str = "sentencepiece"
    packing: Literal["documents", "contiguous"] = "documents"
    validation_fraction: float = 0.1
    text_key: str = "text"

    def __post_init__(self):
        check = Checks(self, "data")
        check.that("validation_fraction", 0 < self.validation_fraction < 1, "0 < fraction < 1")
