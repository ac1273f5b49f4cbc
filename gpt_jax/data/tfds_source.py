"""TFDS datasets as documents, without TensorFlow: one document per example.

The text is the feature that `data.text_key` names ("text"), or else the dataset's only text feature. Documents come
from the split "train" where there is one, else from all splits; what is held out is decided as for any other source
(text.py).

A dataset is read where it lies prepared in the format `array_record`: in the data folder, or in TFDS's own folder
(`$TFDS_DATA_DIR`, `~/tensorflow_datasets`). Otherwise TFDS prepares it below the cache, which works for
datasets whose own code needs no TensorFlow (GLUE needs none; SuperGLUE, TREC and BLiMP do).
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gpt_jax.data import plays
from gpt_jax.data.text import Document, Source
from gpt_jax.disk import DENIED, NO_LOCKS, Digests, cache_root, digest_of, lock, unusable
from gpt_jax.errors import InputError, unknown

FILE_FORMAT = "array_record"
REFUSED = (*DENIED, *NO_LOCKS)
PATIENCE = (5.0, 20.0)  # seconds for a connection, and for the next bytes of an answer
RETRIES = 1  # of a request that fails
LAZY_PACKAGES = ("text", "summarization", "translate", "text_simplification")  # of them GLUE and SuperGLUE: not
# known to TFDS by name until imported


def shakespeare(root: Path) -> Source:
    """The built-in corpus. Opening it does not import TFDS; reading its documents does."""

    digest = plays.digest()

    def documents() -> Iterator[Document]:
        from gpt_jax.data.shakespeare import Shakespeare

        yield from _examples(_prepared(Shakespeare(data_dir=root / "tfds" / digest, file_format=FILE_FORMAT), root))

    return Source("shakespeare", digest, documents)


def by_name(dataset: str, data_dir: Path | None, root: Path, text_key: str = "text") -> Source:
    """The TFDS dataset `dataset` ("name", "name/config", "name:1.0.0"), its feature `text_key`.

    Raises:
      InputError: an unknown dataset, one that cannot be prepared or read here, no text feature.
    """
    builder = _found(dataset, data_dir, root)
    builder = _prepared(builder, root)
    digests = Digests(root)
    files = sorted(path for path in Path(builder.data_path).iterdir() if FILE_FORMAT in path.name)
    digest = digest_of([digests(file) for file in files])
    if text_key != "text":
        digest = digest_of([digest, text_key])
    return Source(f"tfds:{dataset}", digest, lambda: _examples(builder, text_key))


def builder_of(dataset: str, data_dir: Path | None = None) -> Any:
    """The prepared TFDS builder of `dataset`, for its splits and features. Raises `InputError`."""
    root = cache_root()
    return _prepared(_found(dataset, data_dir, root), root)


def _found(dataset: str, data_dir: Path | None, root: Path) -> Any:
    """The builder of `dataset`: where it lies prepared, or below the cache."""
    import tensorflow_datasets as tfds

    with quiet():
        try:
            for package in LAZY_PACKAGES:
                import_module(f"tensorflow_datasets.{package}")
            builder: Any = tfds.builder(dataset, data_dir=data_dir, file_format=FILE_FORMAT)
            if not builder.is_prepared():
                builder = tfds.builder(dataset, data_dir=root / "tfds", file_format=FILE_FORMAT)
        except tfds.core.DatasetNotFoundError:
            raise unknown("TFDS dataset", dataset, tfds.list_builders(with_community_datasets=False)) from None
        except Exception as error:
            raise _cannot("open", dataset, error) from None
    return builder


def _prepared(builder: Any, root: Path) -> Any:
    """The builder, with its dataset on disk. A dataset that is there is neither locked nor written."""
    import requests

    with quiet():
        try:
            if not builder.is_prepared():
                with lock(root, "tfds"), bounded():
                    builder.download_and_prepare()
                if not builder.info.splits:  # another process has prepared it since the builder was made
                    builder.info.read_from_directory(builder.data_path)
        except InputError:
            raise
        except requests.exceptions.ConnectionError as error:
            host = urlsplit(error.request.url).netloc if error.request is not None else "a server"
            raise InputError(
                f"data.source: TFDS cannot prepare {builder.name!r}: {host} does not answer: is there a network? "
                f"Allowed: --data-dir with the original files, or the dataset prepared in {str(builder.data_path)!r}"
            ) from None
        except Exception as error:
            refused = next((one for one in _chain(error) if isinstance(one, OSError) and one.errno in REFUSED), None)
            if refused is not None:
                raise unusable(root, refused) from None
            raise _cannot("prepare", builder.name, error) from None
    return builder


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that led to it: TFDS wraps what the system says."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Has TFDS give up a download within seconds where nobody answers; it tries for minutes, ten times."""
    from tensorflow_datasets.core.download import downloader

    opened, retries = downloader._open_url, downloader.MAX_RETRIES  # not public: test_sources.py says if they go

    def open_in_time(url: str, **options: Any) -> Any:
        return opened(url, **options, **({"timeout": PATIENCE} if url.startswith("http") else {}))

    downloader._open_url, downloader.MAX_RETRIES = open_in_time, RETRIES
    try:
        yield
    finally:
        downloader._open_url, downloader.MAX_RETRIES = opened, retries


def _examples(builder: Any, text_key: str = "text") -> Iterator[Document]:
    feature = _text_feature(builder, text_key)
    for split in ["train"] if "train" in builder.info.splits else sorted(builder.info.splits):
        try:
            examples = builder.as_data_source(split=split)
        except Exception as error:
            raise _cannot("read", builder.name, error) from None
        for index in range(len(examples)):
            name = f"{builder.name} {split}[{index}]"
            try:
                yield Document.of(name, examples[index][feature].decode())
            except UnicodeDecodeError as error:
                raise InputError(f"data: {name} is not UTF-8 text: {error.reason}") from None


def _text_feature(builder: Any, key: str) -> str:
    import tensorflow_datasets as tfds

    features = builder.info.features or {}
    texts = [key for key, feature in features.items() if isinstance(feature, tfds.features.Text)]
    if key in texts:
        return key
    if len(texts) != 1 or key != "text":
        have = ", ".join(sorted(features))
        raise InputError(f"data.text_key: TFDS dataset {builder.name!r} has no feature {key!r}, only {have}")
    return texts[0]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences what TFDS prints and warns of. Its errors say the same."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _cannot(do: str, dataset: str, error: Exception) -> InputError:
    """What went wrong in TFDS, in one line."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "No module named 'tensorflow'" in str(error):
        said = "its code needs TensorFlow: pip install tensorflow, or --data-dir with the original files, is allowed"
    return InputError(f"data.source: TFDS cannot {do} {dataset!r}: {said}")
