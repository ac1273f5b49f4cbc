"""A prepared corpus on disk: opened with its checksums verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt_jax.config import ModelConfig
from gpt_jax.data.tokenizers import Tokenizer, load_tokenizer
from gpt_jax.disk import Digests, read_json, sha256
from gpt_jax.errors import InputError

SPLITS = ("train", "validation")


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
        """The windows of the validation split. The last one may be short."""
        return self.manifest["validation"]["windows"]

    @property
    def train_tokens(self) -> int:
        """Tokens predicted in one epoch."""
        return self.manifest["train"]["tokens"]

    @property
    def validation_tokens(self) -> int:
        """Tokens predicted in one pass over the validation split, with each `<|endoftext|>` between documents."""
        return self.manifest["validation"]["tokens"]

    @property
    def train_bytes(self) -> int:
        """UTF-8 bytes of the training text."""
        return self.manifest["train"]["bytes"]

    @property
    def validation_bytes(self) -> int:
        """UTF-8 bytes of the validation text: what bits/byte divides by."""
        return self.manifest["validation"]["bytes"]

    @property
    def left_out(self) -> dict[str, int]:
        """What lay at the source and no document was made of, and what of the documents the tokens do not hold because
        the tokenizer replaces or drops it ("losses" in the manifest); by kind."""
        return self.manifest.get("left_out", {}) | self.manifest.get("losses", {})

    @property
    def copies(self) -> int:
        """Documents whose text stands in an earlier document. They stay, on the earlier one's side of the split."""
        return self.manifest.get("copies", 0)

    @property
    def by_name(self) -> dict[str, Corpus]:
        """The sources of a mixture. A single corpus has none."""
        return {}

    def epochs(self, tokens: int) -> dict[str, float]:
        """How often training on `tokens` tokens reads the source, by its name."""
        return {self.manifest["source"]: tokens / self.train_tokens}

    def require_fit(self, model: ModelConfig) -> None:
        """Raises `InputError` where the model has another context, or fewer entries than the tokenizer: ids past them
        would be looked up as other tokens."""
        if model.vocab_size < self.tokenizer.vocab_size:
            raise InputError(
                f"model.vocab_size: {model.vocab_size} is not allowed: at least the tokenizer's "
                f"{self.tokenizer.vocab_size}"
            )
        if model.context_length != self.context_length:
            raise InputError(
                f"model.context_length: {model.context_length} is not allowed: {str(self.folder)!r} is prepared for "
                f"{self.context_length}"
            )

    def shards(self, split: str) -> list[Path]:
        """The files of "train" or "validation", in order."""
        return [self.folder / name for name in self.manifest[split]["shards"]]


def open_corpus(folder: Path, tokenizer: Tokenizer | None = None) -> Corpus:
    """Opens a prepared folder, checking its files' checksums. `tokenizer` is the corpus's own, if the caller has it.

    A file of 16 MiB or more is not hashed again if its size and time have not changed. Otherwise every start would read
    a large corpus. A flipped bit in such a file is seen when its records are read, because ArrayRecord hashes them in
    chunks. `pipeline.Windows` then names the file. `verify_corpus` finds the bit at once.

    Raises:
      InputError: a missing or damaged file, by name, with what to do about it.
    """
    try:
        manifest = read_json(folder / "manifest.json", dict)
    except InputError:
        raise _damaged(folder / "manifest.json", folder) from None
    if not {"digest", "files", *SPLITS} <= set(manifest):
        raise _damaged(folder / "manifest.json", folder)
    _check(folder, manifest, Digests(folder))
    return Corpus(folder, tokenizer or load_tokenizer(folder / "tokenizer"), manifest)


def verify_corpus(corpus: Corpus) -> None:
    """Recomputes every file's checksum. Raises `InputError` naming the first damaged file."""
    _check(corpus.folder, corpus.manifest, sha256)


def _check(folder: Path, manifest: dict[str, Any], digest: Callable[[Path], str]) -> None:
    for name, expected in manifest["files"].items():
        try:
            whole = digest(folder / name) == expected
        except PermissionError:
            raise
        except OSError:
            whole = False
        if not whole:
            raise _damaged(folder / name, folder)


def _damaged(path: Path, folder: Path) -> InputError:
    return InputError(f"data: {str(path)!r} is missing or damaged: delete {str(folder)!r} and it is prepared again")
