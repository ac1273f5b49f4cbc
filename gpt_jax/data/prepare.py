"""Documents to token windows on disk, once: a `Corpus` is opened from the cache or prepared there.

The cache (gpt_jax/disk.py) holds
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpt_jax.config import DataConfig
from gpt_jax.data import stream
from gpt_jax.data.corpus import SPLITS, Corpus, open_corpus, verify_corpus
from gpt_jax.data.shards import Layout, write_shards
from gpt_jax.data.sources import open_source
from gpt_jax.data.tokenizers import Tokenizer, load_tokenizer, make_tokenizer
from gpt_jax.disk import cache_root, denials_named, digest_of, lock, move_whole, sha256, write_atomically
from gpt_jax.errors import InputError

__all__ = ["Corpus", "open_corpus", "prepare", "verify_corpus"]

FORMAT = 1
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
    with denials_named(root):
        text = stream.DividedText(
            open_source(data.source, data_dir, root),
            data.validation_fraction,
            progress or (lambda stage, done, total: None),
        )
        if data.tokenizer == "sentencepiece":
            tokenizer = _trained(root, text, vocab_size)
        else:
            tokenizer = make_tokenizer(data.tokenizer, vocab_size, None)
        plan = {
            "format": FORMAT,
            "source_digest": text.source.digest,
            "tokenizer": {"name": tokenizer.name, "digest": tokenizer.digest, "vocab_size": tokenizer.vocab_size},
            "packing": data.packing,
            "validation_fraction": data.validation_fraction,
            "context_length": context_length,
            "dtype": "uint16" if tokenizer.vocab_size <= 1 << 16 else "uint32",
            "windows_per_shard": max(shard_tokens // context_length, 1),
            "characters_at_once": [stream.BLOCK, stream.BATCH],
        }
        digest = digest_of(plan)
        folder = root / "corpora" / digest
        if not (folder / "manifest.json").exists():
            with lock(root, digest):
                if not (folder / "manifest.json").exists():  # no other process made it in the meantime
                    _write(folder, {"digest": digest, "source": text.source.name, **plan}, text, tokenizer)
        return open_corpus(folder)


def _trained(root: Path, text: stream.DividedText, vocab_size: int) -> Tokenizer:
    """The SentencePiece tokenizer of this text; trained on the training documents if the cache has none yet."""
    key = digest_of([FORMAT, text.source.digest, "sentencepiece", vocab_size, text.validation_fraction])
    folder = root / "tokenizers" / key
    if folder.exists():
        return load_tokenizer(folder)
    with lock(root, key):
        if folder.exists():  # another process made it in the meantime
            return load_tokenizer(folder)
        tokenizer = make_tokenizer("sentencepiece", vocab_size, lambda: _training_parts(text))
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        tokenizer.save(partial)
        move_whole(partial, folder)
    return tokenizer


def _training_parts(text: stream.DividedText) -> Iterator[str]:
    return (part for parts in text.select("train", "training the tokenizer") for part in parts)


def _write(folder: Path, plan: dict[str, Any], text: stream.DividedText, tokenizer: Tokenizer) -> None:
    """Writes a corpus that `plan` describes, its manifest last."""
    (folder / "tokenizer").mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder / "tokenizer")
    manifest = {**plan, "files": {f"tokenizer/{f.name}": sha256(f) for f in sorted((folder / "tokenizer").iterdir())}}
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
    manifest["copies"] = text.division.copies
    write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True))
    for split in SPLITS:
        (folder / f"{split}.progress.json").unlink(missing_ok=True)
