"""Documents to token windows on disk, once: a `Corpus` is opened from the cache or prepared there.

The cache (cache.py) holds
```
tokenizers/DIGEST/            a trained tokenizer, by source, size and held-out fraction
corpora/DIGEST/               by source, tokenizer, packing, held-out fraction and context length
  manifest.json               written last: counts, and every file's sha256
  tokenizer/                  what `load_tokenizer` reads
  train-00000.array_record    windows of context_length + 1 tokens, uint16 or uint32
  validation-00000.array_record
```
An interrupted preparation goes on at the last finished shard, and gives the same bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpt_jax.config import DataConfig
from gpt_jax.data.cache import Digests, cache_root, digest_of, lock, sha256, write_atomically
from gpt_jax.data.shards import Layout, Shard, write_shards
from gpt_jax.data.sources import Source, open_source
from gpt_jax.data.text import Division, blocks, divide
from gpt_jax.data.tokenizer import Tokenizer, load_tokenizer, make_tokenizer
from gpt_jax.errors import InputError

FORMAT = 1
SHARD_TOKENS = 1 << 23
BLOCK = 1 << 14  # characters tokenized in one piece
BATCH = 1 << 20  # characters tokenized at once
SPLITS = ("train", "validation")
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus: token windows of two splits, and the tokenizer that made them."""

    folder: Path
    tokenizer: Tokenizer
    manifest: dict[str, Any]

    @property
    def digest(self) -> str:
        """Names text, tokenizer, packing, split and context length together."""
        return self.manifest["digest"]

    @property
    def context_length(self) -> int:
        return self.manifest["context_length"]

    @property
    def train_windows(self) -> int:
        return self.manifest["train"]["windows"]

    @property
    def validation_windows(self) -> int:
        """The last one may be short."""
        return self.manifest["validation"]["windows"]

    @property
    def train_tokens(self) -> int:
        """Tokens predicted in one epoch."""
        return self.manifest["train"]["tokens"]

    @property
    def validation_tokens(self) -> int:
        """Tokens predicted in one pass over the validation split, `<|endoftext|>` between documents among them."""
        return self.manifest["validation"]["tokens"]

    @property
    def train_bytes(self) -> int:
        """UTF-8 bytes of the training text."""
        return self.manifest["train"]["bytes"]

    @property
    def validation_bytes(self) -> int:
        """UTF-8 bytes of the validation text: what bits/byte divides by."""
        return self.manifest["validation"]["bytes"]

    def shards(self, split: str) -> list[Path]:
        """The files of "train" or "validation", in order."""
        return [self.folder / shard["file"] for shard in self.manifest[split]["shards"]]


def prepare(
    data: DataConfig,
    *,
    vocab_size: int,
    context_length: int,
    data_dir: Path | None = None,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    shard_tokens: int = SHARD_TOKENS,
) -> Corpus:
    """Opens the corpus that `data` describes, after preparing it where the cache does not hold it yet.

    Args:
      vocab_size: the model's; "sentencepiece" is trained to it, other tokenizers must not exceed it.
      context_length: tokens the model reads; a window holds one more.
      data_dir: where local text, or prepared TFDS datasets, are.
      cache_dir: instead of `$GPT_JAX_CACHE` or `~/.cache/gpt_jax`.
      progress: called with (stage, characters done, characters in all or None).
      shard_tokens: tokens of a shard, the unit that an interrupted preparation keeps.

    Raises:
      InputError: nothing to read, unreadable text, too little of it, or a damaged cache: one line naming the file.
    """
    root = cache_root(cache_dir)
    report = progress or (lambda stage, done, total: None)
    source = open_source(data.source, data_dir, root)
    key = digest_of([FORMAT, source.digest, data.tokenizer, vocab_size, data.validation_fraction])
    with lock(root / f"{key}.lock"):
        division = _Once(lambda: _divided(source, data, report))
        tokenizer = _tokenizer(root / "tokenizers" / key, source, data, vocab_size, division, report)
        plan = {
            "format": FORMAT,
            "source": source.name,
            "source_digest": source.digest,
            "tokenizer": {"name": tokenizer.name, "digest": tokenizer.digest, "vocab_size": tokenizer.vocab_size},
            "packing": data.packing,
            "validation_fraction": data.validation_fraction,
            "context_length": context_length,
            "dtype": "uint16" if tokenizer.vocab_size <= 1 << 16 else "uint32",
            "windows_per_shard": max(shard_tokens // context_length, 1),
        }
        digest = digest_of({name: value for name, value in plan.items() if name != "source"})
        folder = root / "corpora" / digest
        if not (folder / "manifest.json").exists():
            _write(folder, {"digest": digest, **plan}, source, tokenizer, division(), report)
        return open_corpus(folder)


def open_corpus(folder: Path) -> Corpus:
    """Opens a prepared folder, checking its files' checksums (those of large unchanged files once).

    Raises:
      InputError: a missing or damaged file, by name, with what to do about it.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        raise _damaged(folder / "manifest.json", folder) from None
    _check(folder, manifest, Digests(folder))
    return Corpus(folder, load_tokenizer(folder / "tokenizer"), manifest)


def verify_corpus(corpus: Corpus) -> None:
    """Recomputes every file's checksum. Raises `InputError` naming the first damaged file."""
    _check(corpus.folder, corpus.manifest, sha256)


def _check(folder: Path, manifest: dict[str, Any], digest: Callable[[Path], str]) -> None:
    for name, expected in manifest["files"].items():
        try:
            whole = digest(folder / name) == expected
        except OSError:
            whole = False
        if not whole:
            raise _damaged(folder / name, folder)


def _damaged(path: Path, folder: Path) -> InputError:
    return InputError(f"data: {str(path)!r} is missing or damaged: delete {str(folder)!r} and it is prepared again")


class _Once:
    """Calls a function at most once."""

    def __init__(self, function: Callable[[], Division]):
        self._function, self._value = function, None

    def __call__(self) -> Division:
        if self._value is None:
            self._value = self._function()
        return self._value


def _divided(source: Source, data: DataConfig, report: Progress) -> Division:
    division = divide(source.documents(), data.validation_fraction, lambda done: report("reading", done, None))
    if not division.lengths.sum():
        raise InputError(f"data.source: {source.name!r} holds no text")
    return division


def _tokenizer(
    folder: Path, source: Source, data: DataConfig, vocab_size: int, division: Callable[[], Division], report: Progress
) -> Tokenizer:
    """The tokenizer by name; one that is trained is kept in `folder`."""
    if data.tokenizer != "sentencepiece":
        return make_tokenizer(data.tokenizer, vocab_size, None)
    if folder.exists():
        return load_tokenizer(folder)

    def documents() -> Iterator[str]:
        total, done = division().characters("train"), 0
        for parts in division().select(source.documents(), "train"):
            for part in parts:
                yield part
                done += len(part)
                report("training the tokenizer", done, total)

    tokenizer = make_tokenizer(data.tokenizer, vocab_size, documents)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    tokenizer.save(partial)
    partial.rename(folder)
    return tokenizer


def _write(
    folder: Path, plan: dict[str, Any], source: Source, tokenizer: Tokenizer, division: Division, report: Progress
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    context = plan["context_length"]
    manifest = dict(plan)
    for split in SPLITS:
        layout = Layout(context, plan["dtype"], plan["windows_per_shard"], keep_short=split == "validation")
        stream = _TokenStream(source, tokenizer, division, split, plan["packing"] == "documents", report)
        shards = write_shards(folder, split, layout, stream.batches)
        if not shards:
            raise InputError(_too_little(source, split, stream.tokens, context))
        manifest[split] = {
            "windows": sum(shard.windows for shard in shards),
            "tokens": shards[-1].tokens,
            "bytes": stream.bytes,
            "documents": stream.documents,
            "shards": [_entry(shard) for shard in shards],
        }
    tokenizer.save(folder / "tokenizer")
    files = [
        f for f in sorted(folder.rglob("*")) if f.is_file() and not f.name.endswith((".json.progress", ".partial"))
    ]
    manifest["files"] = {}
    for split in SPLITS:
        manifest["files"] |= {entry["file"]: entry["sha256"] for entry in manifest[split]["shards"]}
    manifest["files"] |= {str(f.relative_to(folder)): sha256(f) for f in files if f.parent.name == "tokenizer"}
    write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True))
    for split in SPLITS:
        (folder / f"{split}.progress.json").unlink(missing_ok=True)


def _entry(shard: Shard) -> dict[str, Any]:
    return {"file": shard.file, "windows": shard.windows, "size": shard.size, "sha256": shard.sha256}


def _too_little(source: Source, split: str, tokens: int, context: int) -> str:
    least = context + 1 if split == "train" else 2
    return (
        f"data.source: {source.name!r} is too small: {tokens} tokens in its {split} split, "
        f"at least {least} are needed for model.context_length = {context}"
    )


class _TokenStream:
    """One split's tokens in batches; after a whole pass, `tokens`, `bytes` and `documents` are its counts."""

    def __init__(
        self, source: Source, tokenizer: Tokenizer, division: Division, split: str, packed: bool, report: Progress
    ):
        self._source, self._tokenizer, self._division, self._split = source, tokenizer, division, split
        self._report = report
        self._separator = [tokenizer.end_of_text] if packed and tokenizer.end_of_text is not None else []
        self.tokens = self.bytes = self.documents = 0

    def batches(self, first: int) -> Iterator[np.ndarray]:
        """The batches from number `first` on, int64; one is tokenized while another is read and a third written."""
        self.tokens = self.bytes = self.documents = 0
        with ThreadPoolExecutor(1) as executor:
            waiting: list[Future[np.ndarray]] = []
            for number, batch in enumerate(self._texts()):
                if number >= first:
                    waiting.append(executor.submit(self._encode, batch))
                if len(waiting) > 2:
                    yield self._counted(waiting.pop(0).result())
            for future in waiting:
                yield self._counted(future.result())

    def _counted(self, tokens: np.ndarray) -> np.ndarray:
        self.tokens += len(tokens)
        return tokens

    def _texts(self) -> Iterator[list[tuple[bool, str]]]:
        """Batches of blocks, each with whether a document starts with it."""
        batch, size, done = [], 0, 0
        total = self._division.characters(self._split)
        for parts in self._division.select(self._source.documents(), self._split):
            self.documents += 1
            for number, block in enumerate(blocks(parts, BLOCK)):
                batch.append((number == 0, block))
                size += len(block)
                self.bytes += len(block.encode())
                if size >= BATCH:
                    done += size
                    self._report(f"tokenizing: {self._split}", done, total)
                    yield batch
                    batch, size = [], 0
        if batch:
            self._report(f"tokenizing: {self._split}", done + size, total)
            yield batch

    def _encode(self, batch: list[tuple[bool, str]]) -> np.ndarray:
        rows = self._tokenizer.encode_batch([text for _, text in batch])
        separated = [self._separator + ids if starts else ids for (starts, _), ids in zip(batch, rows, strict=True)]
        return np.concatenate([np.array(ids, np.int64) for ids in separated])
