"""Hugging Face data sets by name, streamed through `datasets` (extra `hf`): one document per row.

`hf:NAME`, `hf:NAME:CONFIG` or `hf:NAME:CONFIG:SPLIT`: NAME is of the hub ("HuggingFaceFW/fineweb"), or a folder,
absolute or below the data folder. CONFIG may be empty; without SPLIT it is "train", or the only one there is. What is
held out for validation is decided as for any other source (text.py).

A data set of the hub is taken at its newest commit, which its digest names. The data set is streamed once, and its text
is kept in the cache. Code that comes with data is never run: `datasets` 4 and later refuse a data set that needs it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gpt_jax.data.sources.formats import NO_TEXT, check_whole, documents, text_column
from gpt_jax.data.text import Document, Source
from gpt_jax.data.tfds_source import quiet
from gpt_jax.disk import Digests, digest_of
from gpt_jax.errors import InputError, unknown

PATIENCE = 10.0  # seconds for the hub's first answer
KEPT_ROWS = 1000  # of a row group of the kept text


def open_dataset(name: str, data_dir: Path | None, root: Path, text_key: str) -> Source:
    """The data set `name`, which is what stands after "hf:".

    Raises:
      InputError: no package, no network, an unknown data set, config, split or column, one that needs code of its own.
    """
    try:
        import datasets
    except ImportError:
        raise InputError(f"data.source: 'hf:{name}' needs the package datasets: pip install 'gpt-jax[hf]'") from None
    repository, config, split, *rest = [*name.split(":"), "", ""][: max(3, name.count(":") + 1)]
    if rest or not repository:
        raise InputError(f"data.source: 'hf:{name}' is not allowed: hf:NAME, hf:NAME:CONFIG or hf:NAME:CONFIG:SPLIT")
    place = Path(data_dir or "") / repository
    local = place.is_dir() and (data_dir is not None or place.is_absolute())
    revision = None if local else _newest_commit(repository)
    with quiet():
        where = str(place) if local else repository
        try:
            builder = datasets.load_dataset_builder(where, config or None, revision=revision)
        except Exception as error:
            _check_config(where, revision, config, name)
            raise _cannot("open", name, error) from None
    split = _checked_split(builder, split, name)
    if local:
        digests = Digests(root)
        files = [Path(file) for file in (builder.config.data_files or {})[split]]
        for file in files:
            check_whole(file, file.stat().st_size)
        content: Any = [digests(file) for file in files]
    else:
        content = [repository, revision, builder.config.name, split]
    digest = digest_of(["hf", content, text_key])
    kept = None if local else root / "hf" / f"{digest}.parquet"

    def every() -> Iterator[Document]:
        rows = Counter()
        if kept is not None and kept.exists():
            yield from documents(kept, "text", rows)
            rows = left_out_of(kept)
        else:
            texts = _texts(builder, split, text_key, name, rows)
            for number, text in enumerate(texts if kept is None else keeping(texts, kept, rows)):
                yield Document.of(f"hf:{name} row {number}", text)
        source.left_out.update(rows)

    source = Source(f"hf:{name}", digest, every)
    return source


def _newest_commit(repository: str) -> str:
    """Asks the hub once: `datasets` itself asks for half a minute where there is no network."""
    import huggingface_hub

    with quiet():
        try:
            return str(huggingface_hub.HfApi().dataset_info(repository, timeout=PATIENCE).sha)
        except Exception as error:
            raise _cannot("find", repository, error) from None


def _check_config(where: str, revision: str | None, config: str, name: str) -> None:
    """Raises `InputError` where the data set has several configs, and `config` names none of them."""
    import datasets

    try:
        there = datasets.get_dataset_config_names(where, revision=revision)
    except Exception:
        return  # it is something else
    if config not in there and (config or len(there) > 1):
        raise unknown(f"config of hf:{name}", config, there)


def _checked_split(builder: Any, split: str, name: str) -> str:
    there = [str(key) for key in builder.config.data_files or builder.info.splits or ()]
    if not split:
        split = "train" if "train" in there or len(there) != 1 else there[0]
    if split not in there:
        raise unknown(f"split of hf:{name}", split, there)
    return split


def _texts(builder: Any, split: str, key: str, name: str, left_out: Counter[str]) -> Iterator[str]:
    """The texts of the rows, in order; rows that have none are counted."""
    with quiet():
        try:
            dataset = builder.as_streaming_dataset(split)
            if dataset.features is not None:
                text_column(dataset.features.arrow_schema, key, f"hf:{name}")
                dataset = dataset.select_columns([key])
            rows = iter(dataset)
        except InputError:
            raise
        except Exception as error:
            raise _cannot("read", name, error) from None
    number = 0
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:
            raise _cannot("read", name, error) from None
        if key not in row:
            raise unknown(f"data.text_key, a column of hf:{name},", key, list(row))
        text = row[key]
        if text is not None and not isinstance(text, str):
            raise InputError(f"data: hf:{name} row {number} has no text under {key!r} (data.text_key)")
        number += 1
        if text:
            yield text
        else:
            left_out[NO_TEXT] += 1


def keeping(texts: Iterable[str], path: Path, left_out: Counter[str]) -> Iterator[str]:
    """`texts`, which are also written to the .parquet file `path`. The file gets this name once all texts are there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    rows: list[str] = []
    with pq.ParquetWriter(partial, pa.schema([("text", pa.large_string())]), compression="zstd") as writer:
        for text in texts:
            yield text
            rows.append(text)
            if len(rows) == KEPT_ROWS:
                writer.write_table(pa.table({"text": rows}, writer.schema))
                rows.clear()
        if rows:
            writer.write_table(pa.table({"text": rows}, writer.schema))
        writer.add_key_value_metadata({NO_TEXT: str(left_out[NO_TEXT])})
    partial.rename(path)


def left_out_of(kept: Path) -> Counter[str]:
    """What `keeping` had counted when it ended."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(kept).metadata or {}
    return +Counter({NO_TEXT: int(metadata.get(NO_TEXT.encode(), b"0"))})


def _cannot(do: str, name: str, error: Exception) -> InputError:
    """What went wrong in `datasets`, in one line."""
    said = " ".join((str(error).strip().splitlines() or [type(error).__name__])[0].split())
    return InputError(f"data.source: cannot {do} 'hf:{name}': {said}")
