"""Where text comes from: the built-in corpus, TFDS datasets by name, and local files, all as documents.

| source | documents |
|---|---|
| `shakespeare` | one per play (plays.py) |
| `tfds:NAME` | one per example (tfds_source.py) |
| `scan_length`, `sums`, ... | what is trained on of a pair, 20 examples each (data/pairs/composition.py) |
| `local` | all .txt, .md (one each) and .jsonl (one per line, key "text") files below the data folder, .gz too |
| `local:PATH` | that file or folder, absolute or below the data folder |

Text is UTF-8, taken as it is but for a byte-order mark at its start. Hidden files and folders are left out.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpt_jax.data.text import Document, Source
from gpt_jax.disk import Digests, digest_of
from gpt_jax.errors import InputError, unknown

SUFFIXES = (".txt", ".md", ".jsonl")
PART = 1 << 20  # characters read at once
COMPOSITION = ("scan_length", "scan_jump", "scan_turn_left", "sums")
NAMES = ("shakespeare", "local", "local:PATH", "tfds:NAME", *COMPOSITION)


def open_source(name: str, data_dir: Path | None, root: Path) -> Source:
    """The source that `DataConfig.source` names.

    Args:
      name: one of `NAMES`.
      data_dir: where local files, or prepared TFDS datasets, are. It must exist if given.
      root: the cache folder, for what TFDS prepares of the built-in corpus and for remembered digests.

    Raises:
      InputError: an unknown name, a missing folder or file, nothing to read in it.
    """
    if data_dir is not None and not Path(data_dir).exists():
        raise InputError(f"data_dir: {str(data_dir)!r} does not exist")
    kind, _, rest = name.partition(":")
    if name == "shakespeare" or (kind == "tfds" and rest):
        from gpt_jax.data import tfds_source

        if name == "shakespeare":
            return tfds_source.shakespeare(root)
        return tfds_source.by_name(rest, data_dir, root)
    if name == "local" or (kind == "local" and rest):
        return _local(name, rest, data_dir, root)
    if name in COMPOSITION:
        from gpt_jax.data.pairs.composition import training_text

        return training_text(name, data_dir)
    raise unknown("data.source", name, NAMES)


def _local(name: str, rest: str, data_dir: Path | None, root: Path) -> Source:
    if data_dir is None and not Path(rest).is_absolute():
        raise InputError(f"data.source: {name!r} needs a data folder: give --data-dir (data_dir)")
    place = Path(data_dir or "") / rest
    if not place.exists():
        raise InputError(f"data.source: {str(place)!r} does not exist")
    files = _text_files(place) if place.is_dir() else [place]
    files = [file for file in files if _kind(file)]
    if not files:
        raise InputError(
            f"data.source: {str(place)!r} holds no text: expected {', '.join(SUFFIXES)}, or those with .gz"
        )
    digests = Digests(root)
    try:
        digest = digest_of([[_kind(file), digests(file)] for file in files])
    except OSError as error:
        raise _unreadable(Path(error.filename or place), error) from None
    return Source(name, digest, lambda: (document for file in files for document in _documents(file)))


def _text_files(folder: Path) -> list[Path]:
    """All files below `folder` that are not hidden, in the order of their paths."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        found += [Path(parent, f) for f in files if not f.startswith(".")]
    return sorted(found)


def _kind(path: Path) -> str | None:
    """The text suffix of a file, before .gz if it ends so; None if it is not text."""
    suffix = (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()
    return suffix if suffix in SUFFIXES else None


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[io.TextIOBase]:
    """The text of a file, unpacked; what goes wrong becomes an `InputError` that names the file."""
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise InputError(f"data: {str(path)!r} is not UTF-8 text: {error.reason}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"data: {str(path)!r} is a damaged .gz file: {error}") from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"data: {str(path)!r} cannot be read: {error.strerror or error}")


def _documents(path: Path) -> Iterator[Document]:
    if _kind(path) != ".jsonl":
        yield Document(str(path), functools.partial(_parts, path))
        return
    with _reading(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                where = f"{str(path)!r} line {number}"
                yield Document.of(where, _json_text(line, where))


def _parts(path: Path) -> Iterator[str]:
    with _reading(path) as file:
        while part := file.read(PART):
            yield part


def _json_text(line: str, where: str) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        raise InputError(f"data: {where} is not JSON: expected an object with the key 'text'") from None
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise InputError(f"data: {where} has no text: expected an object with the key 'text'")
    return text
