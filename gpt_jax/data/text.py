"""Documents as streams of text, cut into blocks that tokenize like the whole, and divided for validation.

A document may be larger than memory. It is read in parts, and can be read again.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import xxhash

from gpt_jax.errors import require_unicode

WHOLE_DOCUMENTS = 20  # from this many documents on, whole ones are held out
_WORD_BREAK = re.compile(r"(?<=\S) ")


def utf8_size(text: str) -> int:
    """The bytes of `text`, which is valid Unicode, in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


@dataclass(frozen=True)
class Document:
    """One text. Each call of `parts()` gives the text from its start, in pieces; `name` is for messages."""

    name: str
    parts: Callable[[], Iterator[str]]

    @classmethod
    def of(cls, name: str, text: str) -> Document:
        """A document from a text in memory."""
        return cls(name, lambda: iter((text,)))


@dataclass(frozen=True)
class Source:
    """A corpus of documents. `digest` follows the bytes they are read from. Each call of `documents()` starts again.

    `left_out` counts, by kind, what lies there and is no document. Rows are counted once all documents were read.
    """

    name: str
    digest: str
    documents: Callable[[], Iterator[Document]]
    left_out: dict[str, int] = field(default_factory=dict)


def described(left_out: dict[str, int], most: int = 6) -> str:
    """The counts of what was left out, in words: "3 files ending in .png, 1 hidden file or folder"."""
    parts = [f"{count:,} {kind}" for kind, count in sorted(left_out.items(), key=lambda item: (-item[1], item[0]))]
    return ", ".join(parts[:most] + ([f"and {len(parts) - most} other kinds"] if len(parts) > most else []))


def blocks(parts: Iterable[str], size: int) -> Iterator[str]:
    """Cuts one document into blocks of `size` to `2 size` characters (the last may be shorter).

    The cuts depend on the text alone, not on its parts. A cut is made between a word and the space after it. Every
    tokenizer here cuts there too, so the blocks' ids are those of the whole text. A text with no such place for `size`
    characters is cut anywhere.
    """
    text = ""
    for part in parts:
        text, start = text + part, 0
        while len(text) - start > 2 * size:
            cut = _WORD_BREAK.search(text, start + size, start + 2 * size)
            stop = cut.start() if cut else start + size
            yield text[start:stop]
            start = stop
        text = text[start:]
    if text:
        yield text


def excerpt(parts: Iterable[str], start: int, stop: int) -> Iterator[str]:
    """The characters from `start` up to `stop` of the text whose parts these are."""
    position = 0
    for part in parts:
        if position >= stop:
            return
        if piece := part[max(start - position, 0) : stop - position]:
            yield piece
        position += len(part)


@dataclass(frozen=True)
class Division:
    """How documents are divided: the first `cuts[i]` of document i's `lengths[i]` characters train, the rest validate.

    Arrays of int64, one entry per document.
    """

    lengths: np.ndarray
    cuts: np.ndarray
    bytes: int = 0  # of all documents, in UTF-8
    copies: int = 0  # documents whose text stands in an earlier one: they stay on its side
    # 1 where the first rule divides alike: it knew copies by all their characters, and never cut 20 documents or more.
    rule: int = 1

    def characters(self, split: str) -> int:
        """The number of characters of "train" or "validation"."""
        return int(self.cuts.sum()) if split == "train" else int((self.lengths - self.cuts).sum())

    def select(self, documents: Iterable[Document], split: str) -> Iterator[Iterator[str]]:
        """The text of each document that has some in `split`, as parts."""
        for document, length, cut in zip(documents, self.lengths.tolist(), self.cuts.tolist(), strict=True):
            start, stop = (0, cut) if split == "train" else (cut, length)
            if start < stop:
                yield excerpt(document.parts(), start, stop)


def divide(
    documents: Iterable[Document], fraction: float, progress: Callable[[int], None] = lambda size: None
) -> Division:
    """Reads every document once and decides what is held out. The same texts are always divided alike.

    From 20 different texts on, whole documents are held out. In the order of a hash of their text, each document that
    still fits into `fraction` of all characters is held out, or the first if none fits. Copies stay together: texts are
    copies if they differ only in their ends of line, or in white space before these or at the end. The last `fraction`
    of each document is held out below 20 different texts, and where whole documents would come to less than half or
    more than twice `fraction`.
    `progress` is told the UTF-8 bytes read so far.

    Raises:
      InputError: text that is not valid Unicode (half of a surrogate pair), named by document.
    """
    lengths, exact, same, total, size = array("q"), array("Q"), array("Q"), 0, 0
    for document in documents:
        state, content, length = hashlib.blake2b(digest_size=8), _Content(), 0
        for part in document.parts():
            encoded = require_unicode(part, f"data: {document.name}").encode()
            state.update(encoded)
            content.update(part)
            size += len(encoded)
            length += len(part)
        lengths.append(length)
        exact.append(int.from_bytes(state.digest(), "big"))
        same.append(content.digest())
        total += length
        progress(size)
    length_array = np.array(lengths, np.int64)
    exact_array, same_array = np.array(exact, np.uint64), np.array(same, np.uint64)
    there = length_array > 0
    count, texts = int(np.count_nonzero(there)), len(np.unique(same_array[there]))
    held = np.zeros(len(length_array), bool)
    if texts >= WHOLE_DOCUMENTS:
        held = _held_out(length_array, exact_array, same_array, fraction * total)
    whole = bool(fraction / 2 <= length_array[held].sum() / max(total, 1) <= 2 * fraction)
    tails = np.array([int(n * (1 - fraction)) for n in lengths], np.int64)
    cuts = np.where(held, 0, length_array) if whole else tails
    first = len(np.unique(exact_array[there])) == texts and whole == (count >= WHOLE_DOCUMENTS)
    return Division(length_array, cuts, size, copies=count - texts, rule=1 if first else 2)


class _Content:
    """A hash of a text that its ends of line, and white space before them and at its end, do not change."""

    def __init__(self):
        self._state, self._white = xxhash.xxh3_64(), ""

    def update(self, part: str) -> None:
        text = self._white + part
        kept = text.rstrip()
        self._white = text[len(kept) :]  # counts only if something follows
        if "\r" in kept:
            kept = kept.replace("\r\n", "\n").replace("\r", "\n")
        self._state.update("\n".join(map(str.rstrip, kept.split("\n"))).encode())

    def digest(self) -> int:
        return self._state.intdigest()


def _held_out(lengths: np.ndarray, exact: np.ndarray, same: np.ndarray, wanted: float) -> np.ndarray:
    """Which documents are held out: bool, one entry per document. Copies (of one `same`) are decided on together, in
    the order of the least `exact` hash among them."""
    _, group = np.unique(np.where(lengths > 0, same, np.uint64(0)), return_inverse=True)
    sizes = np.bincount(group, weights=lengths)
    keys = np.full(len(sizes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(keys, group, exact)
    order = [index for index in np.argsort(keys, kind="stable").tolist() if sizes[index] > 0]
    held, sum_held = np.zeros(len(sizes), bool), 0.0
    for index in order:
        if sizes[index] <= wanted - sum_held:
            held[index] = True
            sum_held += sizes[index]
    if not held.any():
        held[order[0]] = True
    return held[group]
