"""Tokenised corpora as running text and back, exactly: GPT-2's invertible de-tokenisers (section 3.1).

WikiText, the Penn Treebank and the One Billion Word benchmark put spaces around punctuation. Here a line's tokens are
glued into chunks, `( a )` as `(a)`, where `split_chunk` takes the chunk apart into the same tokens; a token that it
would take apart is marked with `JOINER`. So `tokenize(detokenize(line)) == line` for any tokens between single spaces,
and the log-probability of the text is that of the corpus. OpenAI's rules are unpublished.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

JOINER = "\u2060"  # an invisible character: what follows it in the chunk is one token
OPENERS, CLOSERS = tuple("([{$£#"), tuple(",;:!?)]}%")
QUOTES = ('"', "``", "''")
ABBREVIATED = re.compile(
    r".*\..*|[a-z]|mrs?|ms|dr|st|jr|sr|prof|gen|col|lt|capt|sgt|gov|sen|rep|rev|inc|corp|co|bros|vs|nos?", re.IGNORECASE
)


@dataclass(frozen=True)
class Style:
    """How a corpus was tokenised: the endings that stand alone, and whether marks in a word are spelled `@-@`."""

    endings: tuple[str, ...]
    inner_marks: bool = False


WIKITEXT = Style(("'s", "'t", "'re", "'ve", "'ll", "'m", "'d"), inner_marks=True)
PENN = Style(("n't", "'s", "'re", "'ve", "'ll", "'m", "'d"))
INNER = re.compile(r"(?<=[\w>])(-)(?=[\w<])|(?<=[\d>])([,.])(?=[\d<])")


def detokenize(line: str, style: Style) -> str:
    """A line of tokens between single spaces as running text."""
    tokens = line.split(" ")
    opening = _opening_quotes(tokens)

    def joined(first: int, end: int) -> str | None:
        """The tokens as one chunk, where it comes apart into them; quotes only at the side they belong to."""
        if end > len(tokens) or any(n in opening and tokens[n - 1] not in OPENERS for n in range(first + 1, end)):
            return None
        chunk = "".join(mark(token) for token in tokens[first:end])
        return chunk if split_chunk(chunk, style) == tokens[first:end] else None

    def mark(token: str) -> str:
        return token[1] if style.inner_marks and token in ("@-@", "@,@", "@.@") else token

    chunks, first = [], 0
    while first < len(tokens):
        chunk, end = joined(first, first + 1), first + 1
        while chunk:
            longer = next(((c, n) for n in (end + 1, end + 2) if (c := joined(first, n)) is not None), None)
            if longer is None or (tokens[end - 1] in QUOTES and end - 1 not in opening and tokens[end] not in CLOSERS):
                break
            chunk, end = longer
        chunks.append(JOINER + tokens[first] if chunk is None else chunk)
        first = end
    return " ".join(chunks)


def tokenize(text: str, style: Style) -> str:
    """The inverse of `detokenize`."""
    return " ".join(token for chunk in text.split(" ") for token in split_chunk(chunk, style))


def split_chunk(chunk: str, style: Style) -> list[str]:
    """The tokens of what stands between two spaces."""
    if chunk.startswith(JOINER):
        return [chunk[1:]]
    front: list[str] = []
    back: list[str] = []
    while head := next((h for h in (*OPENERS, *QUOTES) if chunk.startswith(h) and len(chunk) > len(h)), None):
        front.append(head)
        chunk = chunk[len(head) :]
    while tail := next((t for t in (*CLOSERS, *QUOTES, *style.endings, ".") if _ends_in(chunk, t)), None):
        back.append(tail)
        chunk = chunk[: -len(tail)]
    middle = [chunk]
    if style.inner_marks:
        middle = [f"@{part}@" if n % 3 else part for n, part in enumerate(INNER.split(chunk)) if part is not None]
    return [*front, *middle, *reversed(back)]


def _ends_in(chunk: str, tail: str) -> bool:
    """Whether `tail` stands alone at the end; not the full stop of an abbreviation, nor of an ellipsis."""
    if not chunk.endswith(tail) or len(chunk) == len(tail):
        return False
    return tail != "." or not (ABBREVIATED.fullmatch(chunk[:-1]) or chunk.endswith(".."))


def _opening_quotes(tokens: list[str]) -> set[int]:
    """Positions of quotes that open: `` always, '' never, and every other one of the straight ones."""
    straight = [n for n, token in enumerate(tokens) if token == '"']
    return {n for n, token in enumerate(tokens) if token == "``"} | set(straight[::2])
