"""A stream of tokens, cut into windows and written as ArrayRecord shards, resumable shard by shard.

A window is `context_length + 1` tokens, and the next window starts with its last token: the model reads all but
the last and predicts all but the first, so every token of the stream but its very first is predicted once.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt_jax.disk import move_whole, read_json, sha256, write_atomically
from gpt_jax.errors import InputError


@dataclass(frozen=True)
class Shard:
    """A finished file, and the place in the stream after it."""

    file: str
    windows: int
    sha256: str
    tokens: int  # predicted up to its end: also the number of the token that the next window starts with,
    batch: int  # which is in this batch,
    start: int  # whose first token has this number


@dataclass(frozen=True)
class Layout:
    """How a token stream becomes shards."""

    context_length: int
    dtype: str  # "uint16" or "uint32"
    windows_per_shard: int
    keep_short: bool  # the last, short window is kept (validation) or dropped (training)

    @property
    def least(self) -> int:
        """Tokens that the smallest stream with a window has."""
        return 2 if self.keep_short else self.context_length + 1


def write_shards(
    folder: Path, name: str, layout: Layout, batches: Callable[[int], Iterator[np.ndarray]]
) -> list[Shard]:
    """Writes the shards `name-00000.array_record`, ... and returns them.

    Args:
      folder: where they go; it may hold finished shards of an interrupted call, which are kept if undamaged.
      batches: `batches(b)` gives the token stream from its batch b on, 1-D integers, the same at every call.

    A shard is written in the background while the next one's tokens are read. The files' bytes do not depend on
    interruptions.
    """
    progress = folder / f"{name}.progress.json"
    shards = _finished(folder, progress)
    batch, position, written = (shards[-1].batch, shards[-1].start, shards[-1].tokens) if shards else (0, 0, 0)
    stride = layout.windows_per_shard * layout.context_length
    starts = [(batch, position)]  # of the batches that hold pending tokens, and of the next
    pending: list[np.ndarray] = []  # the stream from token number `written` to `position`
    with _Writer(folder, name, progress, shards) as writer:
        for tokens in batches(batch):
            pending.append(tokens[max(written - position, 0) :].astype(layout.dtype))
            batch, position = batch + 1, position + len(tokens)
            starts.append((batch, position))
            while position - written > stride:
                stream = np.concatenate(pending)
                written += stride
                while starts[1][1] <= written:
                    starts.pop(0)
                writer.write(_windows(stream[: stride + 1], layout.context_length), (written, *starts[0]))
                pending = [stream[stride:]]
        windows = _windows(np.concatenate(pending), layout.context_length) if pending else []
        if windows and len(windows[-1]) <= layout.context_length and not layout.keep_short:
            windows.pop()
        if windows:
            written += sum(len(window) - 1 for window in windows)
            writer.write(windows, (written, batch, position))
    return shards


class _Writer(AbstractContextManager):
    """Writes shards one after the other in a thread, and adds each that is finished to `shards` and to `progress`."""

    def __init__(self, folder: Path, name: str, progress: Path, shards: list[Shard]):
        self._folder, self._name, self._progress, self._shards = folder, name, progress, shards
        self._executor = ThreadPoolExecutor(1)
        self._writing: Future[Shard] | None = None

    def write(self, windows: list[np.ndarray], end: tuple[int, int, int]) -> None:
        """Starts on a shard once the one before is finished; `end` is the `Shard`'s tokens, batch and start."""
        self._finish()
        name = f"{self._name}-{len(self._shards):05d}"
        self._writing = self._executor.submit(_write, self._folder, name, windows, end)

    def __exit__(self, *exception: object) -> None:
        try:
            self._finish()
        finally:
            self._executor.shutdown()

    def _finish(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            self._shards.append(writing.result())
            write_atomically(self._progress, json.dumps([dataclasses.asdict(shard) for shard in self._shards]))


def _windows(stream: np.ndarray, context_length: int) -> list[np.ndarray]:
    return [stream[start : start + context_length + 1] for start in range(0, len(stream) - 1, context_length)]


def _finished(folder: Path, progress: Path) -> list[Shard]:
    """The shards that an interrupted call left complete, up to the first damaged one."""
    try:
        shards = [Shard(**entry) for entry in read_json(progress, list)] if progress.exists() else []
    except (InputError, TypeError):  # cut or filled with NULs by a power cut: nothing is known to be finished
        shards = []
    good = []
    for shard in shards:
        path = folder / shard.file
        if not path.exists() or sha256(path) != shard.sha256:
            break
        good.append(shard)
    return good


def _write(folder: Path, name: str, windows: list[np.ndarray], end: tuple[int, int, int]) -> Shard:
    """Writes one shard; `end` is the `Shard`'s tokens, batch and start."""
    from array_record.python.array_record_module import ArrayRecordWriter

    path = folder / f"{name}.array_record"
    partial = path.with_name(f".{path.name}.partial")
    writer = ArrayRecordWriter(str(partial), "group_size:1,uncompressed")
    try:
        for window in windows:
            writer.write(window.tobytes())
    finally:
        writer.close()
    move_whole(partial, path)
    return Shard(path.name, len(windows), sha256(path), *end)
