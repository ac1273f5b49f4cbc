"""GPT-2's byte-level byte-pair encoding by tiktoken: the ids of `tokenizers`, several times as fast.

tiktoken merges the two neighbours whose union has the lowest id, and takes a word that is an entry as it is. Byte-pair
encoding makes the first merge of its list that applies. The two agree on every text if the merges' ids rise along the
list, no two merges make the same entry, and each entry is made of its own bytes. Before either algorithm makes a
merge that the other does not, both have done the same inside that entry's bytes, which is the start of making it alone.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from gpt_jax.data.tokenizers.protocol import END_OF_TEXT
from gpt_jax.disk import parse_json

# OpenAI's pattern (encoder.py), written for speed: it finds the same words. tiktoken hands an alternative that looks
# neither ahead nor back to a linear-time automaton, and the group makes one of the four.
WORDS = r"""(?: ?\p{L}+|'(?:[sdmt]|ll|ve|re)| ?\p{N}+| ?[^\s\p{L}\p{N}]+)|\s+(?!\S)|\s"""
LONGEST_GAP = 500_000  # white space in one piece: tiktoken keeps a place for each character, and a million at most
SPLITTER = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}  # of `tokenizers`: it splits so too


def merging_by_id(inner: Any, content: dict[str, Any] | None = None) -> Any:
    """A `tiktoken.Encoding` that gives the ids of `inner`, a `tokenizers.Tokenizer` of byte pairs, on every text.

    `content` is the JSON of `inner.to_str()`, if the caller has read it. Special tokens in a text are text to
    `encode_ordinary`, and to `encode_to_numpy` with `disallowed_special=()`. None where `inner` splits or changes text
    in another way, matches added tokens in it, lacks a byte, or has merges for which the two libraries may differ.
    """
    import tiktoken

    parts: dict[str, Any] = content or parse_json(inner.to_str(), "the tokenizer")
    model, splitter = parts["model"], parts["pre_tokenizer"] or {}
    affixed = model.get("continuing_subword_prefix") or model.get("end_of_word_suffix") or model.get("ignore_merges")
    matched = any(not added["special"] for added in parts["added_tokens"])
    if parts["normalizer"] or {**splitter, **SPLITTER} != {"trim_offsets": True, **splitter}:
        return None
    if affixed or matched or model.get("dropout"):
        return None
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    made, ids, byte_of = ["".join(merge) for merge in merges], model["vocab"], byte_of_character()
    if not ids.keys() >= byte_of.keys() or not byte_of.keys() >= set("".join(made)) or len(set(made)) < len(made):
        return None
    if not all(ids[one] < ids[next_one] for one, next_one in pairwise(made)):
        return None
    if not all(len(inner.model.tokenize(entry)) == 1 for entry in made):
        return None
    table = str.maketrans({character: chr(byte) for character, byte in byte_of.items()})
    ranks = {entry.translate(table).encode("latin-1"): ids[entry] for entry in (*byte_of, *made)}
    # `encode_to_numpy` looks for special tokens in the text: without one to look for, it would stop at each character.
    special = {END_OF_TEXT: 1 + max(ranks.values())}
    return tiktoken.Encoding("byte pairs", pat_str=WORDS, mergeable_ranks=ranks, special_tokens=special)


def takes(text: str) -> bool:
    """Whether tiktoken can encode this text: it breaks off at a million characters of white space."""
    gaps = re.finditer(r"\s+", text) if len(text) > LONGEST_GAP else ()
    return all(gap.end() - gap.start() <= LONGEST_GAP for gap in gaps)


def byte_of_character() -> dict[str, int]:
    """How GPT-2's vocabulary writes bytes (encoder.py, bytes_to_unicode): printable ones as themselves in Latin-1, the
    others as the characters from U+0100 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in sorted(printable)} | {chr(256 + n): byte for n, byte in enumerate(others)}
