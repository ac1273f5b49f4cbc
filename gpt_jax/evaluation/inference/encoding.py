"""Requests as token sequences: where scoring starts, how a long text is cut into windows, and what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpt_jax.data.tokenizers import Tokenizer
from gpt_jax.errors import InputError
from gpt_jax.evaluation.inference.requests import Choice, Generate, LogLikelihood, Request, Rolling


@dataclass(frozen=True)
class Scored:
    """A row of tokens. Those from `start` on are scored. `start` is at least 1: nothing predicts the first token.

    A row whose `start` is its end scores nothing: log P is 0, of 0 tokens.
    `forbidden` are ids that the first scored token may not be in the filtered argmax.
    """

    tokens: tuple[int, ...]
    start: int
    forbidden: tuple[int, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """The tokens that a generation continues."""

    tokens: tuple[int, ...]
    request: Generate


EncodedRequest = tuple[Scored, ...] | Prompt


def encode(tokenizer: Tokenizer, requests: Sequence[Request], context_length: int, stride: int) -> list[EncodedRequest]:
    """The rows of each request. A `Rolling` text becomes windows that score `stride` tokens each (see `windows`)."""
    _check_stride(stride, context_length)
    texts = dict.fromkeys(text for request in requests for text in _texts(request))
    ids = dict(zip(texts, tokenizer.encode_batch(list(texts)), strict=True))
    begin = () if tokenizer.end_of_text is None else (tokenizer.end_of_text,)

    def pair(context: str, continuation: str, forbidden: tuple[int, ...] = ()) -> Scored:
        context, continuation = move_spaces(context, continuation)
        whole = ids[context + continuation]
        if not context:
            return Scored((*begin, *whole), 1, forbidden)
        if whole == ids[context]:  # the continuation has no token: nothing is scored
            return Scored(tuple(whole), len(whole), forbidden)
        start = min(len(ids[context]), len(whole) - 1)  # where the last token spans both, it is scored
        return Scored(tuple(whole), max(start, 1), forbidden)

    def choice(context: str, continuation: str) -> Scored:
        row = pair(context, continuation)
        if not scores([row]):
            raise InputError(
                f"choices: {continuation!r} is not allowed: it has no token to score, and what has none is certain"
            )
        return row

    def one(request: Request) -> EncodedRequest:
        match request:
            case LogLikelihood():
                return (pair(request.context, request.continuation, single_tokens(tokenizer, request.forbidden)),)
            case Choice():
                return tuple(choice(request.context, continuation) for continuation in request.continuations)
            case Rolling():
                return windows((*begin, *ids[request.text]), context_length, stride)
            case Generate():
                tokens = tuple(ids[request.context]) or begin
                if not tokens:
                    raise InputError(f"context: {request.context!r} is not allowed: this tokenizer has no token for it")
                if request.clip and (room := context_length - len(tokens)) > 0:
                    request = replace(request, max_tokens=min(request.max_tokens, room))
                return Prompt(tokens, request)

    return [one(request) for request in requests]


def _texts(request: Request) -> list[str]:
    """All that encoding this request has to tokenise."""
    match request:
        case LogLikelihood() | Choice():
            continuations = (request.continuation,) if isinstance(request, LogLikelihood) else request.continuations
            moved = [move_spaces(request.context, continuation) for continuation in continuations]
            return [text for context, continuation in moved for text in (context, context + continuation)]
        case Rolling():
            return [request.text]
        case Generate():
            return [request.context]


def move_spaces(context: str, continuation: str) -> tuple[str, str]:
    """Spaces at the end of the context belong to the continuation: GPT-2's tokens begin with their space."""
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def single_tokens(tokenizer: Tokenizer, words: tuple[str, ...]) -> tuple[int, ...]:
    """The ids of those words that are one token."""
    return tuple(sorted({ids[0] for ids in tokenizer.encode_batch(words) if len(ids) == 1})) if words else ()


def windows(tokens: Sequence[int], context_length: int, stride: int) -> tuple[Scored, ...]:
    """Cuts a text into rows of at most `context_length + 1` tokens so that each token but the first is scored once.

    Every row scores the next `stride` tokens and reaches back as far as the context allows: at a stride of
    `context_length` a row starts with the one token before those it scores, and the last one is filled up with
    scored text. A smaller stride gives each token at least `context_length - stride` tokens to look back on.
    """
    _check_stride(stride, context_length)
    rows = []
    for first in range(1, len(tokens), stride):
        end = min(first + stride, len(tokens))
        begin = max(0, end - 1 - context_length)
        rows.append(Scored(tuple(tokens[begin:end]), first - begin))
    return tuple(rows)


def _check_stride(stride: int, context_length: int) -> None:
    if not 1 <= stride <= context_length:
        raise InputError(f"stride: {stride} is not allowed: 1 to {context_length}, the model's context")


def scores(rows: Sequence[Scored]) -> bool:
    """Whether there is a token to score in any of `rows`."""
    return any(row.start < len(row.tokens) for row in rows)


def excess(encoded: EncodedRequest, context_length: int) -> int:
    """The number of tokens that a request is longer than the context. It is 0 or less if the request fits."""
    if isinstance(encoded, Prompt):
        return len(encoded.tokens) + encoded.request.max_tokens - context_length
    return max((len(row.tokens) - 1 for row in encoded), default=0) - context_length


def truncate(encoded: EncodedRequest, context_length: int) -> EncodedRequest:
    """Cuts tokens off the left until the request fits. Scored tokens are cut only where they alone are too many."""
    over = excess(encoded, context_length)
    if over <= 0:
        return encoded
    if isinstance(encoded, Prompt):
        if over >= len(encoded.tokens):
            raise InputError(f"max_tokens: {encoded.request.max_tokens} is not allowed: below {context_length}")
        return Prompt(encoded.tokens[over:], encoded.request)

    def cut(row: Scored) -> Scored:
        drop = max(0, len(row.tokens) - 1 - context_length)
        return Scored(row.tokens[drop:], max(row.start - drop, 1), row.forbidden)

    return tuple(cut(row) for row in encoded)
