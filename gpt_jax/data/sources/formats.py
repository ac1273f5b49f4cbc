"""Files of text as documents, in the formats that people have.

| file | documents |
|---|---|
| `.txt`, `.md` | the whole file |
| `.jsonl`, packed `.json` | one per line: the string under the text key |
| `.parquet`, `.arrow` | one per row: the string in the text column |

All but the last two may be packed: `.gz` (of several members too) or `.zst` (of several frames). Every file is read
in pieces, so that its size does not matter. A row whose text is null or empty is no document, and is counted.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from gpt_jax.data.text import Document
from gpt_jax.disk import parse_json
from gpt_jax.errors import InputError, unknown

WHOLE = (".txt", ".md")
ROWS = (".jsonl", ".parquet", ".arrow")
TABLES = (".parquet", ".arrow")
PACKED = (".gz", ".zst")
PART = 1 << 20  # characters read at once
ROWS_AT_ONCE = 64  # of a table: some are books
COLUMN_BUFFER = 1 << 20  # bytes of a packed column read at once, instead of a row group's whole column
FRAME_PIECE = 1 << 14  # packed bytes of a .zst unpacked at once: they may become a thousand times as many
LARGEST_WINDOW = 1 << 31  # bytes: what `zstd --ultra --long=31` needs
NO_TEXT = "rows without text"
POINTER = b"version https://git-lfs.github.com/spec/"


def kind_of(path: Path) -> str | None:
    """What a file is by its name: one of `WHOLE` or `ROWS`; None if it is not text."""
    suffix = path.suffix.lower()
    if suffix in PACKED:
        inner = path.with_suffix("").suffix.lower()
        inner = ".jsonl" if inner == ".json" else inner  # Dolma's and C4's; a bare .json is seldom text
        return inner if inner in WHOLE or inner == ".jsonl" else None
    return suffix if suffix in WHOLE or suffix in ROWS else None


def documents(path: Path, text_key: str, left_out: Counter[str]) -> Iterator[Document]:
    """The documents of a file that has a `kind_of`. Rows without text are added to `left_out`.

    Raises:
      InputError: a file that is damaged, cut short or not UTF-8, a row that is no text, a column that is missing.
    """
    kind = kind_of(path)
    if kind in WHOLE:
        yield Document(str(path), functools.partial(_parts, path))
        return
    for where, text in (_table_rows if kind in TABLES else _lines)(path, text_key):
        if text:
            yield Document.of(where, text)
        else:
            left_out[NO_TEXT] += 1


def check_whole(path: Path, size: int) -> None:
    """Raises `InputError` for an empty file, and for one whose first bytes show that it is not what its name says."""
    if size == 0 and path.suffix.lower() in (*PACKED, *TABLES):
        raise _damaged(path, "it is empty")
    if size < 1024:
        with named(path), open(path, "rb") as file:
            if file.read(len(POINTER)) == POINTER:
                raise InputError(f"data: {str(path)!r} is only a pointer of Git LFS: git lfs pull gets the file itself")


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """What goes wrong while a file is read becomes an `InputError` that names the file."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise InputError(f"data: {str(path)!r} is not UTF-8 text: {error.reason}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise _damaged(path, str(error)) from None
    except OSError as error:
        if error.errno is None:  # Arrow's own
            raise _damaged(path, str(error)) from None
        raise InputError(f"data: {str(path)!r} cannot be read: {error.strerror or error}") from None


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"data: {str(path)!r} is a damaged {path.suffix.lower()} file: {' '.join(reason.split())}")


class _Frames(io.RawIOBase):
    """The bytes packed in the frames of a .zst file. Raises `EOFError` where the last frame is cut short.

    zstandard's own reader takes a file that is cut short for a whole one.
    """

    def __init__(self, file: BinaryIO):
        super().__init__()
        self._file, self._frame = file, self._next_frame()
        self._packed = self._ready = b""
        self._whole = True  # nothing of a frame is missing so far

    @staticmethod
    def _next_frame() -> Any:
        return zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            packed = self._packed or self._file.read(FRAME_PIECE)
            if not packed:
                if self._whole:
                    return 0
                raise EOFError("its last frame is cut short")
            self._ready = self._frame.decompress(packed)
            self._whole = self._frame.eof
            self._packed = self._frame.unused_data if self._whole else b""
            if self._whole:
                self._frame = self._next_frame()
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


@contextlib.contextmanager
def _reading(path: Path, newline: str) -> Iterator[io.TextIOBase]:
    """The text of a file, unpacked."""
    suffix = path.suffix.lower()
    with named(path), contextlib.ExitStack() as opened:
        file: Any = opened.enter_context(open(path, "rb"))
        if suffix == ".gz":
            file = opened.enter_context(gzip.GzipFile(fileobj=file))
        elif suffix == ".zst":
            file = opened.enter_context(io.BufferedReader(_Frames(file), PART))
        yield opened.enter_context(io.TextIOWrapper(file, encoding="utf-8-sig", newline=newline))


def _parts(path: Path) -> Iterator[str]:
    with _reading(path, newline="") as file:
        while part := file.read(PART):
            yield part


def _lines(path: Path, key: str) -> Iterator[tuple[str, str | None]]:
    with _reading(path, newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                where = f"{str(path)!r} line {number}"
                yield where, _json_text(line, key, where)


def _json_text(line: str, key: str, where: str) -> str | None:
    expected = f"expected an object with the key {key!r} (data.text_key)"
    try:
        value = parse_json(line, where)
    except InputError as error:
        raise InputError(f"data: {error}: {expected}") from None
    text = value.get(key, 0) if isinstance(value, dict) else 0
    if text is not None and not isinstance(text, str):
        raise InputError(f"data: {where} has no text: {expected}")
    return text


def _table_rows(path: Path, key: str) -> Iterator[tuple[str, str | None]]:
    number = 0
    with named(path), contextlib.ExitStack() as opened:
        schema, batches = (_parquet if path.suffix.lower() == ".parquet" else _arrow)(path, opened)
        column = text_column(schema, key, repr(str(path)))
        for batch in batches(column):
            for text in batch.column(column).to_pylist():
                number += 1
                yield f"{str(path)!r} row {number}", text


def _parquet(path: Path, opened: contextlib.ExitStack) -> tuple[Any, Any]:
    import pyarrow.parquet

    with _arrow_errors(path):
        file = opened.enter_context(pyarrow.parquet.ParquetFile(path, buffer_size=COLUMN_BUFFER, pre_buffer=False))

    def batches(column: str) -> Iterator[Any]:
        with _arrow_errors(path):
            yield from file.iter_batches(ROWS_AT_ONCE, columns=[column], use_threads=False)

    return file.schema_arrow, batches


def _arrow(path: Path, opened: contextlib.ExitStack) -> tuple[Any, Any]:
    """Arrow's stream format, which `datasets` saves, or its file format."""
    import pyarrow

    with _arrow_errors(path):
        file = opened.enter_context(pyarrow.memory_map(str(path)))
        try:
            reader = pyarrow.ipc.open_stream(file)
        except pyarrow.ArrowInvalid:
            file.seek(0)
            table = pyarrow.ipc.open_file(file)
            return table.schema, lambda column: (table.get_batch(n) for n in range(table.num_record_batches))

    def batches(column: str) -> Iterator[Any]:
        with _arrow_errors(path):
            yield from reader

    return reader.schema, batches


@contextlib.contextmanager
def _arrow_errors(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except pyarrow.ArrowException as error:
        raise _damaged(path, str(error)) from None


def text_column(schema: Any, key: str, where: str) -> str:
    """`key`, a column of strings in an Arrow schema. Raises `InputError` that names those there are."""
    import pyarrow.types as types

    def is_text(kind: Any) -> bool:
        if types.is_dictionary(kind):
            kind = kind.value_type
        return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)

    columns = [field.name for field in schema if is_text(field.type)]
    if key not in columns:
        raise unknown(f"data.text_key, a column of {where},", key, columns or ["none: no column holds strings"])
    return key
