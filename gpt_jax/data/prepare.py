"""Turns documents into token windows on disk, once. A `Corpus` is opened from the cache, or prepared there.

The cache (gpt_jax/disk.py) holds
```
tokenizers/DIGEST/            a trained tokenizer, by source (or mixture), size and held-out fraction
hf/DIGEST.parquet             the text of a data set of the Hugging Face hub, streamed once
corpora/DIGEST/               one for each source, by its text, tokenizer, packing, held-out fraction and context length
  manifest.json               written last: counts, and every file's sha256
  tokenizer/                  what `load_tokenizer` reads
  train-00000.array_record    windows of context_length + 1 tokens, uint16 or uint32
  validation-00000.array_record
```
An interrupted preparation goes on at the last finished shard, and gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpt_jax.config import DataConfig
from gpt_jax.data import stream
from gpt_jax.data.corpus import SPLITS, Corpus, open_corpus, verify_corpus
from gpt_jax.data.mixture import Mixture, in_proportion, mixed, parse_sources
from gpt_jax.data.shards import Layout, write_shards
from gpt_jax.data.sources import open_source
from gpt_jax.data.sources.formats import NO_TEXT
from gpt_jax.data.tokenizers import Tokenizer, load_tokenizer, make_tokenizer
from gpt_jax.disk import cache_root, denials_named, digest_of, lock, move_whole, read_json, sha256, write_atomically
from gpt_jax.errors import InputError

__all__ = ["Corpus", "Mixture", "open_corpus", "prepare", "training_text", "verify_corpus"]

FORMAT = 1  # of what is written; a part of the corpus's digest
TRAINING = 2  # of how a tokenizer is trained; the first left out text that holds U+2585
SHARD_TOKENS = 1 << 23


def prepare(
    data: DataConfig,
    *,
    vocab_size: int,
    context_length: int,
    data_dir: Path | None = None,
    cache_dir: Path | None = None,
    progress: stream.Progress | None = None,
    shard_tokens: int = SHARD_TOKENS,
) -> Corpus:
    """Opens the corpus that `data` describes. A corpus that the cache does not hold yet is prepared first.

    Args:
      vocab_size: the model's; "sentencepiece" is trained to it, other tokenizers must not exceed it.
      context_length: tokens the model reads; a window holds one more.
      data_dir: where local text, or prepared TFDS datasets, are.
      cache_dir: instead of `$GPT_JAX_CACHE` or `~/.cache/gpt_jax`.
      progress: called with (stage, UTF-8 bytes done, bytes in all or None).
      shard_tokens: tokens of a shard, the unit that an interrupted preparation keeps.

    Returns:
      A `Corpus`; a `Mixture` of them where `data.source` has weights.

    Raises:
      InputError: nothing to read, unreadable text, too little of it, or a damaged cache: one line naming the file.
    """
    root = cache_root(cache_dir)
    with denials_named(root):
        texts, weights = _divided(data, data_dir, root, progress or (lambda stage, done, total: None))
        if data.tokenizer == "sentencepiece":
            tokenizer = _trained(root, texts, weights, vocab_size)
        else:
            tokenizer = make_tokenizer(data.tokenizer, vocab_size, None)
        corpora = [_prepared(root, text, tokenizer, data.packing, context_length, shard_tokens) for text in texts]
        if len(corpora) == 1:
            return corpora[0]
        return mixed(corpora, weights, [text.source.name for text in texts])


def training_text(data: DataConfig, data_dir: Path | None, cache_dir: Path | None = None) -> Iterator[Iterator[str]]:
    """The training text of each document of all the sources of `data`, as parts."""
    texts, _ = _divided(data, data_dir, cache_root(cache_dir), lambda stage, done, total: None)
    return (parts for text in texts for parts in text.select("train", "reading"))


def _divided(
    data: DataConfig, data_dir: Path | None, root: Path, progress: stream.Progress
) -> tuple[list[stream.DividedText], list[int]]:
    """Each source's text, and the sources' weights."""
    sources = parse_sources(data.source)
    texts = []
    for name, _ in sources:
        source = open_source(name, data_dir, root, data.text_key)
        named = _naming(progress, name) if len(sources) > 1 else progress
        texts.append(stream.DividedText(source, data.validation_fraction, named))
    return texts, [weight for _, weight in sources]


def _naming(progress: stream.Progress, name: str) -> stream.Progress:
    return lambda stage, done, total: progress(f"{name}: {stage}", done, total)


def _prepared(
    root: Path, text: stream.DividedText, tokenizer: Tokenizer, packing: str, context_length: int, shard_tokens: int
) -> Corpus:
    """One source's corpus in the cache, written now if it is not there."""
    plan = {
        "format": FORMAT,
        "source_digest": text.source.digest,
        "tokenizer": {"name": tokenizer.name, "digest": tokenizer.digest, "vocab_size": tokenizer.vocab_size},
        "packing": packing,
        "validation_fraction": text.validation_fraction,
        "context_length": context_length,
        "dtype": "uint16" if tokenizer.vocab_size <= 1 << 16 else "uint32",
        "windows_per_shard": max(shard_tokens // context_length, 1),
        "characters_at_once": [stream.BLOCK, stream.BATCH],
    }
    folder, corpus = _found(root, plan), None
    if folder is None:
        plan = _divided_by(text.division.rule, plan)
        digest = digest_of(plan)
        folder = root / "corpora" / digest
        with lock(root, digest):
            if not _is_whole(folder):  # no other process made it in the meantime
                corpus = _write(folder, {"digest": digest, "source": text.source.name, **plan}, text, tokenizer)
    corpus = corpus or open_corpus(folder, tokenizer)
    # Rows were counted when they were read; what else lies beside the text may have changed since, and its name.
    rows = {kind: count for kind, count in corpus.left_out.items() if kind == NO_TEXT}
    manifest = {**corpus.manifest, "source": text.source.name, "left_out": rows | text.source.left_out}
    return dataclasses.replace(corpus, manifest=manifest)


def _divided_by(rule: int, plan: dict[str, Any]) -> dict[str, Any]:
    """The plan of a corpus that this rule divides: what the first one divided keeps its digest."""
    return plan if rule == 1 else {**plan, "division": rule}


def _found(root: Path, plan: dict[str, Any]) -> Path | None:
    """The corpus of this plan in the cache, by whichever rule it is divided; nothing of its text is read."""
    folders = [root / "corpora" / digest_of(_divided_by(rule, plan)) for rule in (1, 2)]
    return next((folder for folder in folders if _is_whole(folder)), None)


def _is_whole(folder: Path) -> bool:
    """Whether a corpus is there. One whose copies were not counted may be divided by the first rule where the second
    differs, and is not taken for one."""
    path = folder / "manifest.json"
    try:
        return path.exists() and "copies" in read_json(path, dict)
    except InputError:
        return True  # it is there and damaged: `open_corpus` says so


def _trained(root: Path, texts: list[stream.DividedText], weights: list[int], vocab_size: int) -> Tokenizer:
    """The SentencePiece tokenizer of these texts; trained on the training documents if the cache has none yet."""
    digests = [text.source.digest for text in texts]
    content = digests[0] if len(texts) == 1 else [[d, weight] for d, weight in zip(digests, weights, strict=True)]
    key = digest_of([TRAINING, content, "sentencepiece", vocab_size, texts[0].validation_fraction])
    folder = root / "tokenizers" / key
    if folder.exists():
        return load_tokenizer(folder)
    with lock(root, key):
        if folder.exists():  # another process made it in the meantime
            return load_tokenizer(folder)
        tokenizer = make_tokenizer("sentencepiece", vocab_size, lambda: _training_parts(texts, weights))
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        tokenizer.save(partial)
        move_whole(partial, folder)
    return tokenizer


def _training_parts(texts: list[stream.DividedText], weights: list[int]) -> Iterator[str]:
    stage = "training the tokenizer"
    if len(texts) > 1:
        return in_proportion(texts, weights, stage)
    return (part for parts in texts[0].select("train", stage) for part in parts)


def _write(folder: Path, plan: dict[str, Any], text: stream.DividedText, tokenizer: Tokenizer) -> Corpus:
    """Writes a corpus that `plan` describes, its manifest last."""
    (folder / "tokenizer").mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder / "tokenizer")
    manifest = {**plan, "files": {f"tokenizer/{f.name}": sha256(f) for f in sorted((folder / "tokenizer").iterdir())}}
    losses: Counter[str] = Counter()
    for split in SPLITS:
        layout = Layout(
            plan["context_length"], plan["dtype"], plan["windows_per_shard"], keep_short=split == "validation"
        )
        tokens = stream.TokenStream(text, tokenizer, split, plan["packing"] == "documents")
        shards = write_shards(folder, split, layout, tokens.batches)
        if not shards:
            raise InputError(
                f"data.source: {text.source.name!r} is too small: {tokens.tokens} tokens in its {split} split, "
                f"and model.context_length = {layout.context_length} needs {layout.least}"
            )
        manifest["files"] |= {shard.file: shard.sha256 for shard in shards}
        manifest[split] = {
            "shards": [shard.file for shard in shards],
            "windows": sum(shard.windows for shard in shards),
            "tokens": shards[-1].tokens,
            "bytes": tokens.bytes,
            "documents": tokens.documents,
        }
        losses.update(tokens.losses)
    manifest["copies"] = text.division.copies
    manifest["losses"] = dict(losses)
    manifest["left_out"] = text.source.left_out
    write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True))
    for split in SPLITS:
        (folder / f"{split}.progress.json").unlink(missing_ok=True)
    return Corpus(folder, tokenizer, manifest)
