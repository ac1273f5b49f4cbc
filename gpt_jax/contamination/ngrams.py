"""Runs of n words: what counts as a word, their hashes, and which of a set of them stand in a corpus, exactly.

A corpus is an iterable of documents; a document is a string, or an iterable of strings that together are its text and
never need to be in memory at once. No run of words reaches from one document into the next.

Axes: T words in a row.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np
import xxhash

from gpt_jax.data.text import blocks

Documents = Iterable[str | Iterable[str]]
Words = Callable[[str], list[str]]
BLOCK = 1 << 16  # characters read at once
BATCH = 1 << 16  # words hashed at once
REMEMBERED = 1 << 20  # words whose hashes are kept
END = "\n"  # stands between documents; no word is equal to it
ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / the golden ratio
ALPHANUMERIC = re.compile(r"[^\W_]+")
PUNCTUATION = re.compile(r"[^\w\s]|_")


def alphanumeric_words(text: str) -> list[str]:
    """GPT-2's words: lower case, runs of letters and digits. "Don't!" is don, t."""
    return ALPHANUMERIC.findall(text.lower())


def unpunctuated_words(text: str) -> list[str]:
    """GPT-3's words: lower case, between white space, without punctuation. "Don't!" is dont."""
    return PUNCTUATION.sub("", text.lower()).split()


def ngrams(words: Sequence[str], n: int) -> list[str]:
    """Every run of `n` words, joined by single spaces."""
    return [" ".join(words[start : start + n]) for start in range(len(words) - n + 1)]


def word_batches(documents: Documents, words: Words, n: int) -> Iterator[list[str]]:
    """The words of all documents, `END` after each document, in batches of about `BATCH`.

    A batch starts with the last n - 1 words of the one before: every run of n words is in exactly one batch.
    """
    batch: list[str] = []
    for document in documents:
        for block in blocks((document,) if isinstance(document, str) else document, BLOCK):
            batch += words(block)
            if len(batch) >= BATCH:
                yield batch
                batch = batch[max(len(batch) - n + 1, 0) :]
        batch.append(END)
    yield batch


class WordHashes(dict[str, int]):
    """word -> 64 bits (XXH3), computed once for each word while there is room."""

    def __missing__(self, word: str) -> int:
        value = xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass"))
        if len(self) < REMEMBERED:
            self[word] = value
        return value

    def of(self, words: Sequence[str]) -> np.ndarray:
        """uint64, (T,)."""
        return np.fromiter(map(self.__getitem__, words), np.uint64, len(words))


def run_hashes(hashes_T: np.ndarray, longest: int) -> Iterator[tuple[int, np.ndarray]]:
    """(n, hashes of all runs of n words by their first) for n = 1 .. `longest`, from the words' hashes.

    uint64, (T - n + 1,). Two different runs agree with probability 2^-64.
    """
    mixed = np.zeros_like(hashes_T)
    for n in range(1, min(longest, len(hashes_T)) + 1):
        mixed = (mixed[: len(hashes_T) - n + 1] ^ hashes_T[n - 1 :]) * ODD
        mixed ^= mixed >> np.uint64(32)
        yield n, mixed


class NgramIndex:
    """A set of n-grams of any lengths, looked for in corpora. It is exact: a hash only says where to compare words.

    Memory follows the set, with about 300 bytes an n-gram. Of the corpus, memory holds one batch of words.
    """

    def __init__(self, wanted: Collection[str]):
        self._hashes = WordHashes()
        self._wanted = set(wanted)
        by_length: dict[int, list[str]] = defaultdict(list)
        for gram in self._wanted:
            by_length[gram.count(" ") + 1].append(gram)
        self._homes: dict[int, set[int]] = {}
        for n, grams in by_length.items():
            *_, (_, runs) = run_hashes(self._hashes.of(" ".join(grams).split(" ")), n)
            self._homes[n] = set(runs[::n].tolist())
        self._tables = {n: _Table(homes) for n, homes in self._homes.items()}

    def find(self, documents: Documents, words: Words) -> set[str]:
        """The n-grams of the set that stand in `documents`."""
        longest = max(self._tables, default=0)
        found: set[str] = set()
        if longest == 0:
            return found
        for batch in word_batches(documents, words, longest):
            for n, runs in run_hashes(self._hashes.of(batch), longest):
                if n in self._tables:
                    for start in self._tables[n].near(runs):
                        if int(runs[start]) in self._homes[n]:
                            found.add(" ".join(batch[start : start + n]))
        return found & self._wanted


class _Table:
    """Which leading bits of a hash some wanted one has: lets one in some 64 others through."""

    def __init__(self, homes: Collection[int]):
        bits = min(max(16, (64 * len(homes)).bit_length()), 30)
        self._shift = np.uint64(64 - bits)
        self._there = np.zeros(1 << bits, bool)
        self._there[np.fromiter(homes, np.uint64, len(homes)) >> self._shift] = True

    def near(self, runs: np.ndarray) -> list[int]:
        return np.flatnonzero(self._there[runs >> self._shift]).tolist()
