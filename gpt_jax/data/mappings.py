"""Small tasks written out, each a mapping drawn anew: text from which a model can learn to learn from its context.

A mapping takes 2 to `KEYS` letters to letters. It is written as `EXAMPLES` examples, `fR `, the value in capitals. Keys
are drawn with repetition, so that a key has been shown the more often the more examples came before. What a key goes to
is known from the examples before and from nothing else.

One mapping in `ONE_IN`, by a fixed hash, stands in no text for training, and `unseen` draws such mappings alone. A
mapping has `WIDTH` bytes, so a window of a model of that context is one mapping, and nothing of another.
"""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Mapping
from functools import cache

from gpt_jax.data.scenes import choose
from gpt_jax.data.text import Document, Source
from gpt_jax.disk import digest_of

KEYS = 8  # of a mapping that is tested, and at most of one that is trained on
EXAMPLES = 24  # of a mapping, as it is written
EXAMPLE = len("fR ")  # bytes of an example
VALUE = 1  # which of them is the value
WIDTH = EXAMPLES * EXAMPLE
ONE_IN = 10  # mappings are held out of the training text
TOGETHER = 25  # mappings of a document
DOCUMENTS = 1000


def held_out(mapping: Mapping[str, str]) -> bool:
    """Whether the fixed hash of a mapping keeps it out of the training text: one mapping in `ONE_IN`."""
    text = " ".join(key + mapping[key] for key in sorted(mapping))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % ONE_IN == 0


def drawn(rng: random.Random, size: int, unseen: bool) -> str:
    """One mapping of `size` letters as it is written: `WIDTH` bytes, the last a line break."""
    mapping: dict[str, str] = {}
    while not mapping or held_out(mapping) != unseen:
        mapping = {}
        while len(mapping) < size:
            mapping[_letter(rng)] = _letter(rng).upper()
    keys = list(mapping)
    shown = [keys[choose(rng, size)] for _ in range(EXAMPLES)]
    return " ".join(key + mapping[key] for key in shown) + "\n"


def _letter(rng: random.Random) -> str:
    return string.ascii_lowercase[choose(rng, 26)]


def unseen(count: int) -> list[str]:
    """The first `count` mappings to test on, of `KEYS` keys, always the same."""
    rng = random.Random("mappings, unseen")
    return [drawn(rng, KEYS, unseen=True) for _ in range(count)]


@cache
def _training_texts() -> list[str]:
    rng = random.Random("mappings")
    sizes = range(2, KEYS + 1)
    return [
        "".join(drawn(rng, sizes[choose(rng, len(sizes))], unseen=False) for _ in range(TOGETHER))
        for _ in range(DOCUMENTS)
    ]


def training_text() -> Source:
    """`data.source=mappings`: `DOCUMENTS` documents of `TOGETHER` mappings, none of them held out."""
    texts = _training_texts()
    return Source(
        "mappings", digest_of(texts), lambda: (Document.of(f"mappings {n}", text) for n, text in enumerate(texts))
    )
