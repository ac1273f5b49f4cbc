"""Where text comes from: the built-in corpus, TFDS datasets by name, and local files, all as documents.

| source | documents |
|---|---|
| `shakespeare` | one per play (shakespeare.py) |
| `tfds:NAME` | one per example: its feature "text", or its only text feature; the split "train", else all splits |
| `local` | all .txt, .md (one each) and .jsonl (one per line, key "text") files below the data folder, .gz too |
| `local:PATH` | that file or folder, absolute or below the data folder |

Hidden files and folders are left out. TFDS runs without TensorFlow: a dataset is read where it was prepared in
the format `array_record`, and else prepared if its own code needs no TensorFlow.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt_jax.data.cache import Digests, digest_of, lock
from gpt_jax.data.text import Document
from gpt_jax.errors import InputError, unknown

SUFFIXES = (".txt", ".md", ".jsonl")
PART = 1 << 20  # characters read at once
NAMES = ("shakespeare", "local", "local:PATH", "tfds:NAME")


@dataclass(frozen=True)
class Source:
    """A corpus of documents. `digest` follows the bytes they are read from; `documents()` gives them anew."""

    name: str
    digest: str
    documents: Callable[[], Iterator[Document]]


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
    if name == "shakespeare":
        return _shakespeare(root)
    if name == "local" or (kind == "local" and rest):
        return _local(name, rest, data_dir, root)
    if kind == "tfds" and rest:
        return _tfds(name, rest, data_dir, root)
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
                yield Document(where, functools.partial(_once, _json_text(line, where)))


def _parts(path: Path) -> Iterator[str]:
    with _reading(path) as file:
        while part := file.read(PART):
            yield part


def _once(text: str) -> Iterator[str]:
    yield text


def _json_text(line: str, where: str) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        raise InputError(f"data: {where} is not JSON: expected an object with the key 'text'") from None
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise InputError(f"data: {where} has no text: expected an object with the key 'text'")
    return text


def _shakespeare(root: Path) -> Source:
    from gpt_jax.data import plays

    def builder() -> Any:
        from gpt_jax.data.shakespeare import Shakespeare

        return Shakespeare(data_dir=root / "tfds", file_format="array_record")

    digest = plays.digest()
    return Source("shakespeare", digest, lambda: _examples(_prepared(builder(), root), "shakespeare"))


def _tfds(name: str, dataset: str, data_dir: Path | None, root: Path) -> Source:
    import tensorflow_datasets as tfds

    folder = Path(data_dir) if data_dir else None
    try:
        builder: Any = tfds.builder(dataset, data_dir=folder, file_format="array_record")
    except tfds.core.DatasetNotFoundError:
        raise unknown("TFDS dataset", dataset, tfds.list_builders()) from None
    except Exception as error:
        raise InputError(f"data.source: {name!r} cannot be opened: {_one_line(error)}") from None
    builder = _prepared(builder, root)
    digests = Digests(root)
    files = sorted(path for path in Path(builder.data_path).iterdir() if path.is_file() and "array_record" in path.name)
    return Source(name, digest_of([digests(file) for file in files]), lambda: _examples(builder, name))


def _prepared(builder: Any, root: Path) -> Any:
    """The builder, with its dataset on disk."""
    with lock(root / "tfds.lock"), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            builder.download_and_prepare()
        except Exception as error:
            raise InputError(f"data.source: TFDS cannot prepare {builder.name!r}: {_one_line(error)}") from None
    return builder


def _examples(builder: Any, name: str) -> Iterator[Document]:
    feature = _text_feature(builder, name)
    for split in ["train"] if "train" in builder.info.splits else sorted(builder.info.splits):
        try:
            examples = builder.as_data_source(split=split)
        except Exception as error:
            raise InputError(f"data.source: {name!r} cannot be read without TensorFlow: {_one_line(error)}") from None
        for index in range(len(examples)):
            text = examples[index][feature].decode()
            yield Document(f"{name} {split}[{index}]", functools.partial(_once, text))


def _text_feature(builder: Any, name: str) -> str:
    import tensorflow_datasets as tfds

    features = builder.info.features or {}
    texts = [key for key, feature in features.items() if isinstance(feature, tfds.features.Text)]
    if "text" in texts:
        return "text"
    if len(texts) != 1:
        raise InputError(
            f"data.source: {name!r} has no feature 'text', nor just one text feature: it has {[*features]}"
        )
    return texts[0]


def _one_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
