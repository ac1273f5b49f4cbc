"""Windows to batches: sequence s is a pure function of (corpus, seed, s), at any number of processes.

Grain gives the order: each epoch has its own permutation of all windows. The permutation is computed index by index.
Therefore nothing is stored, and any batch can be read at once. A batch may span two epochs. In a mixture, each source
has its own permutations, and arithmetic decides whose turn it is (mixture.py). A single corpus is a mixture of one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

from gpt_jax.data.corpus import Corpus, verify_corpus
from gpt_jax.data.mixture import Mixture, draw
from gpt_jax.errors import InputError

PADDING = -1  # in place of a token: not there, not scored
PREFETCH = 4  # steps read ahead
SEED_STRIDE = 0x9E3779B1  # between the seeds of a mixture's sources


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
        self.length = corpus.context_length + 1

    def __len__(self) -> int:
        return len(self._source)

    def read(self, indices: list[int]) -> np.ndarray:
        """The windows of these numbers: int32 `(len(indices), context_length + 1)`, short ones padded with -1.

        Raises `InputError` naming a file that is damaged.
        """
        rows = np.full((len(indices), self.length), PADDING, np.int32)
        with _damage_named(self._corpus):
            records = self._source.__getitems__(indices) if indices else []
        for row, record in zip(rows, records, strict=True):
            tokens = np.frombuffer(record, self._dtype)
            row[: len(tokens)] = tokens
        return rows


class Mixed:
    """Random access to the windows of one split of a corpus or a mixture, numbered in the order of the weights."""

    def __init__(self, corpus: Corpus, split: str):
        parts, self.weights = (corpus.parts, corpus.weights) if isinstance(corpus, Mixture) else ((corpus,), (1,))
        self._windows = [Windows(part, split) for part in parts]
        self.sizes, self.length = [len(windows) for windows in self._windows], self._windows[0].length

    def read(self, places: list[tuple[int, int]]) -> np.ndarray:
        """The windows (source, number): int32 `(len(places), context_length + 1)`, as `Windows.read` gives them."""
        if len(self._windows) == 1:
            return self._windows[0].read([number for _, number in places])
        rows = [self._windows[source].read([number]) for source, number in places]
        return np.concatenate([self._windows[0].read([]), *rows])


class Batches:
    """Training sequences by number, in micro-batches; see `open_batches`."""

    def __init__(self, windows: Mixed, batch_size: int, seed: int, rows: slice):
        import grain

        self._windows = windows
        self._orders: list[Any] = [
            grain.MapDataset.range(size).seed((seed + source * SEED_STRIDE) % 2**32).shuffle().repeat()
            for source, size in enumerate(windows.sizes)
        ]
        self._batch_size = batch_size
        self._rows = range(batch_size)[rows]

    def __getitem__(self, m: int) -> np.ndarray:
        """This process's rows of micro-batch `m` (from 0): int32 `(rows, context_length + 1)`."""
        return self.step(m * self._batch_size, self._batch_size, 1)[0]

    def step(self, first: int, count: int, accumulation: int) -> np.ndarray:
        """Sequences `first` to `first + count - 1` laid out in `accumulation` micro-batches.

        Int32 `(accumulation, rows, context_length + 1)`, this process's rows; the places past `count` are padding.
        """
        places = [m * self._batch_size + row for m in range(accumulation) for row in self._rows]
        real = [place for place in places if place < count]
        rows = np.full((len(places), self._windows.length), PADDING, np.int32)
        rows[[place < count for place in places]] = self._windows.read([self._place(first + p) for p in real])
        return rows.reshape(accumulation, len(self._rows), -1)

    def _place(self, sequence: int) -> tuple[int, int]:
        source, n = draw(sequence, self._windows.weights)
        return source, int(self._orders[source][n])

    def iterate(self, steps: Iterable[tuple[int, int]], accumulation: int) -> Generator[np.ndarray, None, None]:
        """`step(first, count, accumulation)` of each (first, count), read ahead in the background until closed."""
        executor, steps = ThreadPoolExecutor(1), iter(steps)
        read = lambda first, count: executor.submit(self.step, first, count, accumulation)  # noqa: E731
        try:
            waiting = deque(read(*step) for step in islice(steps, PREFETCH))
            while waiting:
                ready = waiting.popleft()
                waiting.extend(read(*step) for step in islice(steps, 1))
                yield ready.result()
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def open_batches(
    corpus: Corpus,
    *,
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
    rows: slice | None = None,
) -> Batches:
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
    return Batches(Mixed(corpus, "train"), batch_size, seed, rows)


def validation_batches(
    corpus: Corpus,
    *,
    batch_size: int,
    max_tokens: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[np.ndarray]:
    """The validation split in order, once: int32 `(batch_size / process_count, context_length + 1)`.

    The end of a source's last window holds -1, and so do rows past the last window. The windows of a mixture come in
    the proportions of the weights, from the first window on. Every process gets the same number of batches.

    Args:
      max_tokens: stops after the window in which this many tokens are predicted.
    """
    windows, rows = Mixed(corpus, "validation"), _rows(batch_size, process_index, process_count)
    count = corpus.validation_windows
    if max_tokens is not None:
        count = min(count, -(-max_tokens // corpus.context_length))
    for first in range(0, count, batch_size):
        places = [draw(n, windows.weights) for n in range(first, min(first + batch_size, count))[rows]]
        batch = np.full((rows.stop - rows.start, corpus.context_length + 1), PADDING, np.int32)
        batch[: len(places)] = windows.read(places)
        yield batch


def _rows(batch_size: int, process_index: int, process_count: int) -> slice:
    """The rows of a global batch that one process holds."""
    if batch_size % process_count:
        raise InputError(f"batch_size: {batch_size} is not allowed: a multiple of the {process_count} processes")
    share = batch_size // process_count
    return slice(process_index * share, (process_index + 1) * share)
