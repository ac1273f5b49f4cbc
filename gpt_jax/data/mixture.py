"""GPT-3's data protocol: several sources by weight (Table 2.2), as one corpus.

An example is `0.6*local:web, 0.22*local:webtext, 0.18*shakespeare`. Weights are shares of the tokens that are trained
on, whatever the sources' sizes. The weights need not sum to 1 (the paper's sum to 1.01), because only their ratios
count. Within a source, windows are drawn without replacement until the source's epoch ends, and then in a new order. In
one run, a small source of a large weight may be read 3.4 times, and a large source less than half (`Mixture.epochs`).

Arithmetic, and not chance, decides which source gives the n-th window. Of the first n windows, source 0 gives its
share, rounded to a whole number. The rest is divided in the same way among the other sources. At any n, the count of
each of k sources is within k / 2 of its share.

All sources share one tokenizer. A tokenizer that is trained here reads the sources in the proportions of the weights,
and reads a source that is too small for its share more than once (`in_proportion`). Each source is divided into
training and validation text by itself. Text that two sources have in common is not looked for. The mixed validation
split is the largest one that has the proportions of the weights.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from gpt_jax.data.corpus import Corpus
from gpt_jax.data.stream import DividedText
from gpt_jax.data.text import blocks
from gpt_jax.disk import digest_of
from gpt_jax.errors import InputError

WEIGHTED = re.compile(r"\s*([-+.\d][^*:,]*)\*(.*)", re.DOTALL)
FORM = "WEIGHT*SOURCE, WEIGHT*SOURCE, ... with different sources and weights above 0, as 0.6*local:web, 0.4*shakespeare"
BLOCK = 1000  # characters that the tokenizer's training takes or leaves together
MOST_DIGITS = 20  # of a weight


def parse_sources(source: str) -> list[tuple[str, int]]:
    """The sources that `DataConfig.source` names, with their weights as whole numbers of the same ratios.

    One source without a weight has weight 1. Raises `InputError` for anything that looks like a mixture and is none.
    """
    parts = source.split(",")
    if not any(WEIGHTED.fullmatch(part) for part in parts):
        return [(source, 1)]
    found: dict[str, Fraction] = {}
    for part in parts:
        match = WEIGHTED.fullmatch(part)
        name = match[2].strip() if match else ""
        weight = _weight(match[1].strip()) if match else None
        if not name or weight is None or name in found:
            raise InputError(f"data.source: {part.strip()!r} is not allowed in a mixture: {FORM}")
        found[name] = weight
    scale = math.lcm(*(weight.denominator for weight in found.values()))
    whole = [int(weight * scale) for weight in found.values()]
    divisor = math.gcd(*whole)
    return [(name, weight // divisor) for name, weight in zip(found, whole, strict=True)]


def _weight(text: str) -> Fraction | None:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text) or len(text) > MOST_DIGITS:
        return None
    return Fraction(text) or None


def counts(n: int, weights: Sequence[int]) -> list[int]:
    """How many of the first `n` windows each source gives. The counts sum to `n`, and no count falls as `n` grows."""
    found, remaining = [], sum(weights)
    for weight in weights:
        others = (2 * n * (remaining - weight) + remaining) // (2 * remaining)  # to the nearest whole number
        found.append(n - others)
        n, remaining = others, remaining - weight
    return found


def draw(n: int, weights: Sequence[int]) -> tuple[int, int]:
    """The source of window `n` (from 0) of the mixture, and how many windows that source gave before."""
    before, after = counts(n, weights), counts(n + 1, weights)
    source = next(i for i, (b, a) in enumerate(zip(before, after, strict=True)) if a > b)
    return source, before[source]


@dataclass(frozen=True)
class Mixture(Corpus):
    """Prepared corpora of one tokenizer and context length, read as one. `mixed` makes it.

    Counts of the training split are sums over the sources, once each.
    """

    parts: tuple[Corpus, ...] = ()
    weights: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def by_name(self) -> dict[str, Corpus]:
        return dict(zip(self.names, self.parts, strict=True))

    def epochs(self, tokens: int) -> dict[str, float]:
        windows = counts(tokens // self.context_length, self.weights)
        return {name: n / part.train_windows for name, n, part in zip(self.names, windows, self.parts, strict=True)}


def mixed(parts: Sequence[Corpus], weights: Sequence[int], names: Sequence[str]) -> Mixture:
    """The corpora as one mixture. Its digest names all their windows, the weights and the order of the sources."""
    first = parts[0]
    windows = _validation_windows(parts, weights)
    # A source's last window may be short. Bytes are counted at each source's own bytes per token.
    tokens = [
        min(n * first.context_length, part.validation_tokens)
        for n, part in zip(counts(windows, weights), parts, strict=True)
    ]
    size = sum(Fraction(n * p.validation_bytes, p.validation_tokens) for n, p in zip(tokens, parts, strict=True))
    manifest = {
        "digest": digest_of(["mixture", [[part.digest, w] for part, w in zip(parts, weights, strict=True)]]),
        "source": ", ".join(f"{weight}*{name}" for name, weight in zip(names, weights, strict=True)),
        "context_length": first.context_length,
        "train": {key: sum(part.manifest["train"][key] for part in parts) for key in ("windows", "tokens", "bytes")},
        "validation": {"windows": windows, "tokens": sum(tokens), "bytes": round(size)},
        "left_out": dict(sum((Counter(part.left_out) for part in parts), Counter())),
        "copies": sum(part.copies for part in parts),
    }
    return Mixture(first.folder.parent, first.tokenizer, manifest, tuple(parts), tuple(weights), tuple(names))


def _validation_windows(parts: Sequence[Corpus], weights: Sequence[int]) -> int:
    """The most windows that the validation splits hold in the weights' proportions."""
    low, high = 1, sum(part.validation_windows for part in parts)
    while low < high:
        middle = (low + high + 1) // 2
        taken = zip(counts(middle, weights), parts, strict=True)
        low, high = (middle, high) if all(n <= p.validation_windows for n, p in taken) else (low, middle - 1)
    return low


def in_proportion(texts: Sequence[DividedText], weights: Sequence[int], stage: str) -> Iterator[str]:
    """The training text of all sources, a source's share of the characters being its weight's share.

    About as many characters as the sources have together, in pieces of about `BLOCK`: evenly spaced ones of a source
    that has more than its share, each several times of a source that has less.
    """
    sizes = [text.division.characters("train") for text in texts]
    for text, weight, size in zip(texts, weights, sizes, strict=True):
        times = Fraction(weight * sum(sizes), sum(weights) * max(size, 1))
        pieces = (block for parts in text.select("train", stage) for block in blocks(parts, BLOCK))
        for number, piece in enumerate(pieces):
            for _ in range(math.floor((number + 1) * times) - math.floor(number * times)):
                yield piece
