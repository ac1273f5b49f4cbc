"""Windows to batches: micro-batch m is a pure function of (corpus, seed, m), at any number of processes.

Grain gives the order: a permutation of all windows per epoch, another one each epoch, computed index by index,
so that nothing is stored and any batch can be had at once. A batch may span two epochs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpt_jax.data.prepare import Corpus, verify_corpus
from gpt_jax.errors import InputError

PADDING = -1  # in place of a token: not there, not scored
PREFETCH = 4  # batches read ahead


@contextmanager
def _damage_named(corpus: Corpus) -> Iterator[None]:
    """ArrayRecord keeps hashes of its own: what a damaged shard makes it raise, as the `InputError` that names it."""
    try:
        yield
    except Exception:
        verify_corpus(corpus)
        raise


class Windows:
    """Random access to the windows of one split."""

    def __init__(self, corpus: Corpus, split: str):
        import grain

        self._corpus = corpus
        with _damage_named(corpus):
            self._source: Any = grain.sources.ArrayRecordDataSource([str(path) for path in corpus.shards(split)])
        self._dtype = corpus.manifest["dtype"]
        self._length = corpus.context_length + 1

    def __len__(self) -> int:
        return len(self._source)

    def read(self, indices: list[int]) -> np.ndarray:
        """The windows of these numbers: int32 `(len(indices), context_length + 1)`, short ones padded with -1.

        Raises `InputError` naming a file that is damaged.
        """
        rows = np.full((len(indices), self._length), PADDING, np.int32)
        with _damage_named(self._corpus):
            records = self._source.__getitems__(indices) if indices else []
        for row, record in zip(rows, records, strict=True):
            tokens = np.frombuffer(record, self._dtype)
            row[: len(tokens)] = tokens
        return rows


class Batches:
    """Training micro-batches by number; see `open_batches`."""

    def __init__(self, windows: Windows, batch_size: int, seed: int, rows: slice):
        import grain

        self._windows = windows
        self._order: Any = grain.MapDataset.range(len(windows)).seed(seed).shuffle().repeat()
        self._batch_size = batch_size
        self._rows = range(batch_size)[rows]

    def __getitem__(self, m: int) -> np.ndarray:
        """This process's rows of micro-batch `m` (from 0): int32 `(rows, context_length + 1)`."""
        first = m * self._batch_size
        return self._windows.read([int(self._order[first + row]) for row in self._rows])

    def iterate(self, first: int) -> Generator[np.ndarray, None, None]:
        """Micro-batches `first`, `first + 1`, ... without end, read ahead in the background until closed."""
        executor = ThreadPoolExecutor(1)
        try:
            waiting = deque(executor.submit(self.__getitem__, first + ahead) for ahead in range(PREFETCH))
            while True:
                first += 1
                waiting.append(executor.submit(self.__getitem__, first + PREFETCH - 1))
                yield waiting.popleft().result()
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def open_batches(
    corpus: Corpus, *, batch_size: int, seed: int, process_index: int = 0, process_count: int = 1,
    rows: slice | None = None,
) -> Batches:  # fmt: skip
    """The training split as an endless list of shuffled micro-batches.

    Args:
      batch_size: sequences of one micro-batch over all processes.
      seed: of the order; below 2**32.
      process_index: this process holds rows `process_index * batch_size / process_count` on.
      rows: instead, exactly these rows (parallel/mesh.py's `process_rows`, for a mesh of any shape).

    Raises:
      InputError: `batch_size` is not a multiple of `process_count`.
    """
    rows = _rows(batch_size, process_index, process_count) if rows is None else rows
    return Batches(Windows(corpus, "train"), batch_size, seed, rows)


def validation_batches(
    corpus: Corpus, *, batch_size: int, max_tokens: int | None = None, process_index: int = 0, process_count: int = 1
) -> Iterator[np.ndarray]:
    """The validation split in order, once: int32 `(batch_size / process_count, context_length + 1)`.

    The end of the last window, and rows past it, hold -1. Every process gets the same number of batches.

    Args:
      max_tokens: stops after the window in which this many tokens are predicted.
    """
    windows, rows = Windows(corpus, "validation"), _rows(batch_size, process_index, process_count)
    count = len(windows)
    if max_tokens is not None:
        count = min(count, -(-max_tokens // corpus.context_length))
    for first in range(0, count, batch_size):
        indices = list(range(first, min(first + batch_size, count)))[rows]
        batch = np.full((rows.stop - rows.start, corpus.context_length + 1), PADDING, np.int32)
        batch[: len(indices)] = windows.read(indices)
        yield batch


def _rows(batch_size: int, process_index: int, process_count: int) -> slice:
    """The rows of a global batch that one process holds."""
    if batch_size % process_count:
        raise InputError(f"batch_size: {batch_size} is not allowed: a multiple of the {process_count} processes")
    share = batch_size // process_count
    return slice(process_index * share, (process_index + 1) * share)
