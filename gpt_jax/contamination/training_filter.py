"""GPT-3's training filter (appendix C): test sets' 13-grams are cut out of the training documents.

A colliding 13-gram is removed with 200 characters on each side, which splits the document. Pieces shorter than 200
characters are dropped. A document that is split into more than 10 pieces is dropped whole. 13-grams that stand in more
than 10 documents are common phrases, and stay.

In the paper's own run, a bug left the filter without effect on long documents, such as books, and on some benchmarks.
Retraining cost too much, so the paper analysed the contamination instead (overlap.py). Here length plays no part. The
paper does not say whether pieces are counted before or after the short pieces are dropped. Here they are counted
before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from gpt_jax.contamination.ngrams import NgramIndex, ngrams, unpunctuated_words


def filter_training(
    documents: Sequence[str],
    tests: Sequence[str],
    *,
    n: int = 13,
    window: int = 200,
    shortest_piece: int = 200,
    most_pieces: int = 10,
    most_documents: int = 10,
) -> Iterator[list[str]]:
    """The pieces of each document that remain: the whole document where nothing collides, none where too much collides.

    Args:
      documents: training texts; read twice, first to count in how many of them each n-gram stands.
      tests: the texts of the test sets' examples.
      n: words of a gram.
      window: characters removed on each side of one.
      shortest_piece: characters of the shortest piece that stays.
      most_pieces: a document split into more is dropped.
      most_documents: an n-gram in more documents is ignored.
    """
    index = NgramIndex({gram for text in tests for gram in ngrams(unpunctuated_words(text), n)})
    found = [index.find([document], unpunctuated_words) for document in documents]
    counts = Counter(gram for grams in found for gram in grams)
    for document, grams in zip(documents, found, strict=True):
        rare = {gram for gram in grams if counts[gram] <= most_documents}
        if not rare:
            yield [document]
            continue
        pieces = _pieces(document, _spans(document, rare, n, window))
        yield [piece for piece in pieces if len(piece) >= shortest_piece] if len(pieces) <= most_pieces else []


def _spans(text: str, grams: set[str], n: int, window: int) -> Iterator[tuple[int, int]]:
    """(start, stop) in characters of each of `grams` in `text`, with its window."""
    places = [(word, match) for match in re.finditer(r"\S+", text) for word in unpunctuated_words(match.group())]
    for first, gram in enumerate(ngrams([word for word, _ in places], n)):
        if gram in grams:
            yield places[first][1].start() - window, places[first + n - 1][1].end() + window


def _pieces(text: str, spans: Iterator[tuple[int, int]]) -> list[str]:
    """What is left of `text` between `spans`, which come in order and may overlap."""
    pieces, position = [], 0
    for start, stop in spans:
        if start > position:
            pieces.append(text[position:start])
        position = max(position, stop)
    return [*pieces, text[position:]] if position < len(text) else pieces
