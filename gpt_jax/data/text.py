"""Documents as streams of text, cut into blocks that tokenize like the whole, and divided for validation.

A document may be larger than memory: it is read in parts, as often as needed.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gpt_jax.errors import InputError

WHOLE_DOCUMENTS = 20  # from this many documents on, whole ones are held out
_WORD_BREAK = re.compile(r"(?<=\S) ")


def require_unicode(text: str, where: str) -> str:
    """`text`, if it is valid Unicode: arguments, JSON and file names can hold half of a surrogate pair, which is not.

    Raises:
      InputError: it begins with `where`, and gives the first such character's place.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = text[max(error.start - 20, 0) : error.start + 20]
        raise InputError(
            f"{where}: {shown!r} is not allowed: valid Unicode text, and character {error.start + 1} is half of a "
            "surrogate pair"
        ) from None
    return text


@dataclass(frozen=True)
class Document:
    """One text. `parts()` gives it anew at each call, in pieces of any length; `name` is for messages."""

    name: str
    parts: Callable[[], Iterator[str]]

    @classmethod
    def of(cls, name: str, text: str) -> Document:
        """A document that is in memory."""
        return cls(name, lambda: iter((text,)))


@dataclass(frozen=True)
class Source:
    """A corpus of documents. `digest` follows the bytes they are read from; `documents()` gives them anew."""

    name: str
    digest: str
    documents: Callable[[], Iterator[Document]]


def blocks(parts: Iterable[str], size: int) -> Iterator[str]:
    """Cuts one document into blocks of `size` to `2 size` characters (the last may be shorter).

    Where the cuts fall depends on the text alone, not on its parts. A cut is made between a word and the space
    after it, where every tokenizer here cuts too, so the blocks' ids are those of the whole; text with no such
    place for `size` characters is cut anywhere.
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

    def characters(self, split: str) -> int:
        """Characters of "train" or "validation"."""
        return int(self.cuts.sum()) if split == "train" else int((self.lengths - self.cuts).sum())

    def select(self, documents: Iterable[Document], split: str) -> Iterator[Iterator[str]]:
        """The text of each document that has some in `split`, as parts."""
        for document, length, cut in zip(documents, self.lengths.tolist(), self.cuts.tolist(), strict=True):
            start, stop = (0, cut) if split == "train" else (cut, length)
            if start < stop:
                yield excerpt(document.parts(), start, stop)


def divide(
    documents: Iterable[Document], fraction: float, progress: Callable[[int], None] = lambda characters: None
) -> Division:
    """Reads every document once and decides what is held out: the same texts are always divided alike.

    From 20 documents on, whole documents are: in the order of a hash of their text, each that still fits into
    `fraction` of all characters (at least one document). Equal texts stay together. Below 20, the last `fraction`
    of each document's characters is.

    Raises:
      InputError: text that is not valid Unicode (a lone surrogate), named by document.
    """
    lengths, hashes, total = array("q"), array("Q"), 0
    for document in documents:
        state, length = hashlib.blake2b(digest_size=8), 0
        try:
            for part in document.parts():
                state.update(part.encode())
                length += len(part)
        except UnicodeEncodeError as error:
            raise InputError(f"data: {document.name} is not valid Unicode: {error.reason}") from None
        lengths.append(length)
        hashes.append(int.from_bytes(state.digest(), "big"))
        total += length
        progress(total)
    length_array = np.array(lengths, np.int64)
    if np.count_nonzero(length_array) < WHOLE_DOCUMENTS:
        cuts = [int(n * (1 - fraction)) for n in lengths]
    else:
        cuts = np.where(_held_out(length_array, np.array(hashes, np.uint64), fraction * total), 0, length_array)
    return Division(length_array, np.array(cuts, np.int64))


def _held_out(lengths: np.ndarray, hashes: np.ndarray, wanted: float) -> np.ndarray:
    """Which documents are held out: bool, one entry per document."""
    groups, group = np.unique(np.where(lengths > 0, hashes, np.uint64(0)), return_inverse=True)
    sizes = np.bincount(group, weights=lengths, minlength=len(groups))
    held, sum_held = np.zeros(len(groups), bool), 0.0
    for index, size in enumerate(sizes.tolist()):
        if 0 < size <= wanted - sum_held:
            held[index] = True
            sum_held += size
    if not held.any():
        held[np.flatnonzero(sizes)[0]] = True
    return held[group]
