"""Answers requests in batches, with shared prefixes and a cache on disk, and scores a task from the answers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from gpt_jax.data.public_files import Files
from gpt_jax.disk import digest_of, read_json, write_atomically
from gpt_jax.errors import InputError
from gpt_jax.evaluation.beam import beam_search
from gpt_jax.evaluation.encoding import EncodedRequest, Prompt, encode, excess, truncate
from gpt_jax.evaluation.few_shot import draw, most_shots, shown
from gpt_jax.evaluation.metrics import Estimate, Metric, estimate
from gpt_jax.evaluation.requests import Answer, Choice, Generate, Likelihood, LogLikelihood, Request
from gpt_jax.evaluation.scoring import Meter, TextModel, batches, bucket, score, suitable_tokens
from gpt_jax.evaluation.task import Item, Row, Task
from gpt_jax.generation import generate

Overflow = Literal["error", "drop", "truncate"]
Progress = Callable[[int, int], None]  # (tokens done, tokens in all)
VERSION = 1  # of what answers mean: part of the cache's key


@dataclass(frozen=True)
class Options:
    """How requests are asked.

    `overflow` is what happens to an item longer than the context: an "error"; "drop" its examples, the ones farthest
    from it first; or "truncate" its text from the left. `stride` (tokens) is how many each window of a long text
    scores; None is the whole context. `limit` takes that many items at random, by `seed`. `batch_tokens` (None:
    what suits the device) and `share` change the speed. The only results that they change are texts drawn by chance.
    """

    seed: int = 0
    limit: int | None = None
    overflow: Overflow = "error"
    stride: int | None = None
    batch_tokens: int | None = None
    share: bool = True


@dataclass(frozen=True)
class Outcome:
    """A task's figures at K shots, and one record of questions and answers for each item.

    `shown` is the mean number of examples, below `shots` where some were dropped.
    """

    task: str
    shots: int
    shown: float
    estimates: tuple[tuple[Metric, Estimate], ...]
    records: list[dict[str, Any]]


def evaluate(
    model: TextModel,
    task: Task,
    files: Files,
    shots: int | Literal["fit"] = 0,
    options: Options = Options(),
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Scores a model on a task with `shots` examples before each item ("fit": the most that fit every item's context).

    Answers are kept in the folder `cache`, if it can be written, under (model, requests, options), so that a changed
    metric is computed again and a repeated question is not asked again.
    Raises `InputError` on files that are missing, and on what does not fit.
    """
    items, numbers = chosen_items(task, files, options)
    if shots and task.example is None:
        raise InputError(f"--shots: {shots} is not allowed: {task.name} is a zero-shot task")
    pool = task.load(files, pool=True) if shots else []
    count = fitting(model, task, items, numbers, pool, options) if shots == "fit" else shots
    asked, encoded, kept = ask(model, task, items, numbers, pool, count, options)
    sampled = any(isinstance(r, Generate) and r.temperature > 0 for part in asked for r in part)
    key = digest_of(
        [
            VERSION,
            model.digest,
            [dataclasses.asdict(r) for part in asked for r in part],
            [len(part) for part in asked],
            options.stride,
            options.overflow,
            options.seed,
            *([options.batch_tokens or suitable_tokens()] if sampled else []),
        ]
    )
    path = None if cache is None or not model.digest else cache / f"{task.name}-{count}-{key}.json"
    flat = [r for part in asked for r in part]
    answers = read_answers(path) if path is not None else None
    if answers is None or len(answers) != len(flat):
        answers = answer(model, flat, [e for part in encoded for e in part], options, progress)
        if path is not None:
            with suppress(OSError):  # what cannot be kept is asked again the next time, and its scores are not lost
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, json.dumps([_plain(a) for a in answers]))
    rows: list[Row] = []
    records = []
    for number, item, requests, shown_count in zip(numbers, items, asked, kept, strict=True):
        own, answers = answers[: len(requests)], answers[len(requests) :]
        scored = task.score(item, own)
        rows += scored if isinstance(scored, list) else [scored]
        records.append(
            {
                "number": number,
                "item": item,
                "shots": shown_count,
                "requests": [dataclasses.asdict(r) for r in requests],
                "answers": [_plain(a) for a in own],
                "scores": scored,
            }
        )
    if not rows:
        raise InputError(f"{task.name}: nothing is scored: its texts are empty")
    estimates = tuple((metric, estimate(metric, rows)) for metric in task.metrics)
    return Outcome(task.name, count, float(np.mean(kept)), estimates, records)


def part_of(outcome: Outcome, numbers: Collection[int]) -> Outcome | None:
    """The figures over some of an outcome's items, by their numbers in the task. None if none of them was asked."""
    records = [record for record in outcome.records if record["number"] in numbers]
    rows = [row for r in records for row in (r["scores"] if isinstance(r["scores"], list) else [r["scores"]])]
    if not rows:
        return None
    estimates = tuple((metric, estimate(metric, rows)) for metric, _ in outcome.estimates)
    shown = sum(record["shots"] for record in records) / len(records)
    return Outcome(outcome.task, outcome.shots, shown, estimates, records)


def chosen_items(task: Task, files: Files, options: Options) -> tuple[list[Item], list[int]]:
    """The task's items, or `limit` of them at random, with their numbers. Raises `InputError` where there are none."""
    items = task.load(files)
    if not items:
        raise InputError(f"{task.name}: its files hold no items")
    numbers = list(range(len(items)))
    if options.limit is not None and options.limit < len(items):
        rng = np.random.default_rng(options.seed)
        numbers = sorted(rng.choice(len(items), options.limit, replace=False).tolist())
    return [items[n] for n in numbers], numbers


def ask(
    model: TextModel,
    task: Task,
    items: Sequence[Item],
    numbers: Sequence[int],
    pool: Sequence[Item],
    shots: int,
    options: Options,
) -> tuple[list[list[Request]], list[list[EncodedRequest]], list[int]]:
    """Each item's requests, their tokens, all within the context, and how many examples are before it.

    Raises `InputError` that says by how much an item does not fit.
    """
    context = model.config.context_length
    examples = [draw(pool, item, shots, options.seed, n) for n, item in zip(numbers, items, strict=True)]
    asked = [task.requests(item, shown(task, own)) for item, own in zip(items, examples, strict=True)]
    for n, part in zip(numbers, asked, strict=True):
        if not part or any(isinstance(r, Choice) and not all(map(str.strip, r.continuations or [""])) for r in part):
            raise InputError(
                f"{task.name}: item {n} has no choice, or a blank one: at least one is needed, and text in each"
            )
    flat = _encode(model, [r for part in asked for r in part], options)
    encoded = []
    for part in asked:
        encoded.append(flat[: len(part)])
        flat = flat[len(part) :]
    for n, own in enumerate(examples):
        while (over := max(excess(e, context) for e in encoded[n])) > 0:
            if options.overflow == "truncate":
                encoded[n] = [truncate(e, context) for e in encoded[n]]
            elif options.overflow == "drop" and own:
                own = examples[n] = own[1:]
                asked[n] = task.requests(items[n], shown(task, own))
                encoded[n] = _encode(model, asked[n], options)
            else:
                raise InputError(
                    f"{task.name}: item {numbers[n]} with {len(own)} examples is {over} tokens longer than the context "
                    f"of {context}: allowed: fewer --shots, --overflow drop (examples) or truncate (text)"
                )
    return asked, encoded, [len(own) for own in examples]


def _encode(model: TextModel, requests: Sequence[Request], options: Options) -> list[EncodedRequest]:
    context = model.config.context_length
    return encode(model.tokenizer, requests, context, context if options.stride is None else options.stride)


def fitting_shots(model: TextModel, task: Task, files: Files, options: Options) -> int:
    """The largest K with which every item fits the context."""
    return fitting(model, task, *chosen_items(task, files, options), task.load(files, pool=True), options)


def fitting(model: TextModel, task: Task, items, numbers, pool, options: Options) -> int:
    """`fitting_shots`, of these items and this pool; 0 where even none fit and their text is truncated."""
    context = model.config.context_length
    _, encoded, _ = ask(model, task, items, numbers, pool, 0, options)
    room = [-max(excess(e, context) for e in part) for part in encoded]
    count = most_shots(task, items, numbers, pool, room, model.tokenizer, options.seed)
    while count > 0:
        try:
            ask(model, task, items, numbers, pool, count, dataclasses.replace(options, overflow="error"))
            return count
        except InputError:  # encoded together, examples may be longer than the sum of their lengths
            count -= 1
    return 0


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


def _plain(answer: Answer) -> Any:
    """An answer as JSON: a list for each likelihood."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, Likelihood):
        return list(dataclasses.astuple(answer))
    return [list(dataclasses.astuple(a)) for a in answer]


def read_answers(path: Path) -> list[Answer] | None:
    """The answers kept in a cache file, or None if the file is missing or damaged."""
    try:
        return [_read(a) for a in read_json(path, list)]
    except (InputError, TypeError):
        return None


def _read(plain: Any) -> Answer:
    if isinstance(plain, str):
        return plain
    return tuple(Likelihood(*a) for a in plain) if plain and isinstance(plain[0], list) else Likelihood(*plain)
