"""Contamination: how much of a test set stands in a training corpus, as GPT-2 and as GPT-3 measure it.

GPT-2 (section 4): the share of a test set's 8-grams that a Bloom filter of the training set's 8-grams holds. A word is
a run of letters and digits in lower case; the filter's false-positive rate is at most 1e-8.

GPT-3 (appendix C): a test example is dirty if any of its N-grams stands in the training set, and clean otherwise. N is
the 5th percentile of the examples' lengths in words, at least 8 and at most 13 (2 to 7 for synthetic tasks, which
`n` sets). An example shorter than N counts as one run (section 4). A word is what white space delimits, in lower case,
without punctuation. The result is exact, because no filter decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from rbloom import Bloom

from gpt_jax.contamination.ngrams import (
    END,
    Documents,
    NgramIndex,
    WordHashes,
    Words,
    alphanumeric_words,
    ngrams,
    run_hashes,
    unpunctuated_words,
    word_batches,
)
from gpt_jax.errors import InputError

SHORTEST, LONGEST, PERCENTILE = 8, 13, 5  # of GPT-3's N
PART = 1 << 25  # n-grams of one Bloom filter


class NgramFilter:
    """A Bloom filter that grows. It holds the n-grams of a training corpus, and any other one with probability `rate`.

    Each `PART` n-grams have one filter. The i-th filter has rate / 2^(i+1), so that together they keep to `rate`
    (Almeida et al. 2007). At 1e-8 an n-gram takes 5 to 6 bytes: about 1 GiB for 1 GB of English, which has some 180 M
    n-grams.
    """

    def __init__(self, n: int = 8, rate: float = 1e-8, words: Words = alphanumeric_words, part: int = PART):
        if n < 1 or not 0 < rate < 1 or part < 1:
            raise InputError(f"filter: n={n}, rate={rate}, part={part} is not allowed: n >= 1, 0 < rate < 1, part >= 1")
        self.n, self.rate, self.words = n, rate, words
        self.ngrams = 0  # added, repeated ones each time
        self._part, self._parts = part, []
        self._hashes = WordHashes()

    @property
    def bytes(self) -> int:
        """Of memory."""
        return sum(part.size_in_bits for part in self._parts) // 8

    def add(self, documents: Documents) -> None:
        """Adds every n-gram of a corpus."""
        for batch in word_batches(documents, self.words, self.n):
            values = self._runs(batch)
            while values:
                if self.ngrams == len(self._parts) * self._part:
                    self._parts.append(Bloom(self._part, self.rate / 2 ** (len(self._parts) + 1)))
                room = len(self._parts) * self._part - self.ngrams
                self._parts[-1].update(values[:room])
                self.ngrams += len(values[:room])
                values = values[room:]

    def holds(self, words: Sequence[str]) -> list[bool]:
        """Whether each run of n of `words` was added."""
        return [any(value in part for part in self._parts) for value in self._runs(words)]

    def _runs(self, words: Sequence[str]) -> list[int]:
        """Hashes of the runs of n words that lie within one document."""
        if len(words) < self.n:
            return []
        hashes = self._hashes.of(words)
        *_, (_, runs) = run_hashes(hashes, self.n)
        ends = np.cumsum(np.append(False, hashes == np.uint64(self._hashes[END])))
        return runs[ends[self.n :] == ends[: -self.n]].tolist()


@dataclass(frozen=True)
class Overlap:
    """`found` of the `ngrams` of a text stand in the training corpus."""

    found: int
    ngrams: int

    @property
    def share(self) -> float:
        """0 to 1; 0 for a text without n-grams."""
        return self.found / self.ngrams if self.ngrams else 0.0


def bloom_overlap(training: NgramFilter, texts: Iterable[str]) -> list[Overlap]:
    """GPT-2's measure for each text. Its `total` is the measure of the test set."""
    held = [training.holds(training.words(text)) for text in texts]
    return [Overlap(sum(row), len(row)) for row in held]


def total(overlaps: Iterable[Overlap]) -> Overlap:
    """The overlap of all n-grams of several texts together."""
    rows = list(overlaps)
    return Overlap(sum(row.found for row in rows), sum(row.ngrams for row in rows))


def false_positives(training: NgramFilter, count: int = 1_000_000, seed: int = 0) -> int:
    """How many of `count` random strings of n words the filter holds. GPT-2 found none of 1 M."""
    numbers = np.random.default_rng(seed).integers(1 << 60, size=count + training.n - 1)
    return sum(training.holds([f"{number:x}" for number in numbers.tolist()]))


@dataclass(frozen=True)
class Split:
    """Indices of the clean and the dirty examples of a test set, for N = `n` words."""

    n: int
    clean: tuple[int, ...]
    dirty: tuple[int, ...]


def collision_length(texts: Iterable[str]) -> int:
    """GPT-3's N: the 5th percentile of the lengths in words (rounded down), clipped to [8, 13]."""
    lengths = [len(unpunctuated_words(text)) for text in texts]
    if not lengths:
        raise InputError("contamination: the task has no examples: at least one is needed")
    return int(min(max(np.percentile(lengths, PERCENTILE), SHORTEST), LONGEST))


def split_tasks(
    documents: Documents,
    tasks: Mapping[str, Sequence[str]],
    n: int | None = None,
    short: Literal["whole", "clean"] = "whole",
) -> dict[str, Split]:
    """Clean and dirty examples of several test sets, in one pass over the training corpus.

    Args:
      documents: the training corpus.
      tasks: name -> the text of each example.
      n: N for all tasks; None: each task's own, `collision_length`.
      short: examples of fewer than N words: "whole" looks for the whole example, as GPT-3 does, which finds
        common phrases too; "clean" counts them as clean.

    Raises:
      InputError: a task without examples, or n below 1.
    """
    if n is not None and n < 1:
        raise InputError(f"contamination: n: {n} is not allowed: at least 1")
    lengths = {name: collision_length(texts) if n is None else n for name, texts in tasks.items()}
    grams = {name: [_grams(text, lengths[name], short) for text in texts] for name, texts in tasks.items()}
    index = NgramIndex({gram for rows in grams.values() for row in rows for gram in row})
    found = index.find(documents, unpunctuated_words)
    return {name: _split(lengths[name], [bool(row & found) for row in rows]) for name, rows in grams.items()}


def split_clean_dirty(documents: Documents, texts: Sequence[str], n: int | None = None) -> Split:
    """Clean and dirty examples of one test set; see `split_tasks`."""
    return split_tasks(documents, {"": texts}, n)[""]


def _grams(text: str, n: int, short: str) -> set[str]:
    words = unpunctuated_words(text)
    if words and len(words) < n:
        return {" ".join(words)} if short == "whole" else set()
    return set(ngrams(words, n))


def _split(n: int, dirty: Collection[bool]) -> Split:
    places = {kind: tuple(i for i, value in enumerate(dirty) if value is kind) for kind in (False, True)}
    return Split(n, places[False], places[True])
