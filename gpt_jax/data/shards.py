"""A stream of tokens, cut into windows and written as ArrayRecord shards, resumable shard by shard.

A window is `context_length + 1` tokens, and the next window starts with its last token: the model reads all but
the last and predicts all but the first, so every token of the stream but its very first is predicted once.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt_jax.data.cache import sha256, write_atomically


@dataclass(frozen=True)
class Shard:
    """A finished file, and where the tokens after it come from: batch `batch`, whose first token is number `start`."""

    file: str
    windows: int
    tokens: int  # of the stream up to the last window's end, the shared token not counted twice
    size: int  # bytes
    sha256: str
    batch: int
    start: int


@dataclass(frozen=True)
class Layout:
    """How a token stream becomes shards."""

    context_length: int
    dtype: str  # "uint16" or "uint32"
    windows_per_shard: int
    keep_short: bool  # the last, short window is kept (validation) or dropped (training)


def write_shards(
    folder: Path, name: str, layout: Layout, batches: Callable[[int], Iterator[np.ndarray]]
) -> list[Shard]:
    """Writes the shards `name-00000.array_record`, ... and returns them.

    Args:
      folder: where they go; it may hold finished shards of an interrupted call, which are kept if undamaged.
      batches: `batches(b)` gives the token stream from its batch b on, 1-D integers, the same at every call.

    The files' bytes do not depend on interruptions.
    """
    progress = folder / f"{name}.progress.json"
    shards = _finished(folder, progress)
    stride = layout.windows_per_shard * layout.context_length
    last = shards[-1] if shards else None
    batch, position = (last.batch, last.start) if last else (0, 0)
    written = last.tokens if last else 0  # the first token of the next window has this number
    starts = [(batch, position)]
    pending: list[np.ndarray] = []
    held = position - written  # tokens pending past `written`; negative while tokens already written come again
    for tokens in batches(batch):
        pending.append(tokens[max(-held, 0) :] if held < 0 else tokens)
        batch, position, held = batch + 1, position + len(tokens), held + len(tokens)
        starts.append((batch, position))
        while held > stride:
            stream = np.concatenate(pending)
            written += stride
            while starts[1][1] <= written:
                starts.pop(0)
            windows = _windows(stream[: stride + 1], layout.context_length)
            shards.append(_write(folder, name, layout, windows, len(shards), written, starts[0]))
            write_atomically(progress, json.dumps([dataclasses.asdict(shard) for shard in shards]))
            pending, held = [stream[stride:]], held - stride
    stream = np.concatenate(pending) if pending else np.zeros(0, np.int64)
    windows = _windows(stream, layout.context_length)
    if windows and len(windows[-1]) <= layout.context_length and not layout.keep_short:
        windows.pop()
    if windows:
        written += sum(len(window) - 1 for window in windows)
        shards.append(_write(folder, name, layout, windows, len(shards), written, (batch, position)))
    return shards


def _windows(stream: np.ndarray, context_length: int) -> list[np.ndarray]:
    return [stream[start : start + context_length + 1] for start in range(0, len(stream) - 1, context_length)]


def _finished(folder: Path, progress: Path) -> list[Shard]:
    """The shards that an interrupted call left complete, up to the first damaged one."""
    shards = [Shard(**entry) for entry in json.loads(progress.read_text())] if progress.exists() else []
    good = []
    for shard in shards:
        path = folder / shard.file
        if not path.exists() or sha256(path) != shard.sha256:
            break
        good.append(shard)
    return good


def _write(
    folder: Path,
    name: str,
    layout: Layout,
    windows: list[np.ndarray],
    number: int,
    tokens: int,
    resume: tuple[int, int],
) -> Shard:
    from array_record.python.array_record_module import ArrayRecordWriter

    path = folder / f"{name}-{number:05d}.array_record"
    partial = path.with_name(f".{path.name}.partial")
    writer = ArrayRecordWriter(str(partial), "group_size:1,uncompressed")
    try:
        for window in windows:
            writer.write(window.astype(layout.dtype).tobytes())
    finally:
        writer.close()
    os.replace(partial, path)
    return Shard(path.name, len(windows), tokens, path.stat().st_size, sha256(path), *resume)
