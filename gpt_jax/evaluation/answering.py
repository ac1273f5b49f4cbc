"""Requests answered in batches: likelihoods of what is read, and texts that are written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import numpy as np

from gpt_jax.evaluation.asking import Options
from gpt_jax.evaluation.inference.batching import batches, bucket
from gpt_jax.evaluation.inference.beam import beam_search
from gpt_jax.evaluation.inference.encoding import EncodedRequest, Prompt
from gpt_jax.evaluation.inference.requests import Answer, Generate, LogLikelihood, Request
from gpt_jax.evaluation.inference.scoring import Meter, TextModel, score, suitable_tokens
from gpt_jax.generation import generate

Progress = Callable[[int, int], None]  # (tokens done, tokens in all)


def answer(
    model: TextModel,
    requests: Sequence[Request],
    encoded: Sequence[EncodedRequest],
    options: Options,
    progress: Progress = lambda done, total: None,
) -> list[Answer]:
    """The answers, in the order of the requests."""
    rows = [row for e in encoded if not isinstance(e, Prompt) for row in e]
    prompts = [e for e in encoded if isinstance(e, Prompt)]
    writing = sum(len(prompt.tokens) + prompt.request.max_tokens for prompt in prompts)
    reading = sum(len(row.tokens) for row in rows)
    likelihoods = iter(
        score(
            model,
            rows,
            batch_tokens=options.batch_tokens,
            share=options.share,
            progress=lambda done, total: progress(int(done / max(total, 1) * reading), reading + writing),
        )
    )
    texts = iter(write(model, prompts, options, lambda done, _: progress(reading + done, reading + writing)))
    answers: list[Answer] = []
    for request, e in zip(requests, encoded, strict=True):
        if isinstance(e, Prompt):
            answers.append(next(texts))
        else:
            own = tuple(next(likelihoods) for _ in e)
            answers.append(own[0] if isinstance(request, LogLikelihood) else own)
    return answers


def write(model: TextModel, prompts: Sequence[Prompt], options: Options, progress: Progress) -> list[str]:
    """Texts that continue the prompts. Each is cut before the first of its prompt's `until`.

    What is drawn depends on `options.seed`, on `batch_tokens` and on which prompts there are.
    """
    texts: list[str] = [""] * len(prompts)
    meter = Meter(progress, sum(len(prompt.tokens) + prompt.request.max_tokens for prompt in prompts))

    def kind(n: int):
        how = dataclasses.replace(prompts[n].request, context="")
        return bucket(len(prompts[n].tokens)) + how.max_tokens, (how.beams, how.temperature, how.top_k or 0, how.until)

    made = batches(range(len(prompts)), kind, options.batch_tokens or suitable_tokens())
    for number, batch in enumerate(made):
        how = prompts[batch[0]].request
        tokens = [list(prompts[n].tokens) for n in batch]
        if how.beams > 1:
            stop_V = stop_tokens(model, how)
            written = beam_search(model, tokens, how.max_tokens, how.beams, how.length_penalty, stop_V)
        else:
            key = jax.random.fold_in(jax.random.key(options.seed), number)
            written = generate(
                model.config,
                model.params,
                tokens,
                how.max_tokens,
                how.temperature,
                top_k=how.top_k,
                key=key,
                stop_token=model.tokenizer.end_of_text,
            )
        for n, ids in zip(batch, written, strict=True):
            texts[n] = cut(model.tokenizer.decode(ids), how.until)
        meter.add(sum(len(prompts[n].tokens) + how.max_tokens for n in batch))
    return texts


def stop_tokens(model: TextModel, how: Generate) -> np.ndarray:
    """bool `(V,)`: the tokens that end a beam: end of text, and those whose text holds one of `until`."""
    stop_V = np.zeros(model.config.vocab_size, bool)
    ends = [end for end in how.until if end]
    for i in range(min(model.tokenizer.vocab_size, len(stop_V)) if ends else 0):
        text = model.tokenizer.decode([i])
        stop_V[i] = any(end in text for end in ends)
    if model.tokenizer.end_of_text is not None:
        stop_V[model.tokenizer.end_of_text] = True
    return stop_V


def cut(text: str, until: Sequence[str]) -> str:
    """`text` before the first of `until`; an empty one ends nothing."""
    return text[: min((at for end in until if end and (at := text.find(end)) >= 0), default=len(text))]
