"""What an item is asked: the task's requests with K examples before them, and their tokens, within the context.

The examples are chosen as GPT-3 chooses them: K drawn at random for each item (Brown et al. 2020, section 2.4).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gpt_jax.data.public_files import Files
from gpt_jax.data.tokenizers import Tokenizer
from gpt_jax.errors import InputError
from gpt_jax.evaluation.inference.encoding import EncodedRequest, encode, excess, truncate
from gpt_jax.evaluation.inference.requests import Choice, Request
from gpt_jax.evaluation.inference.scoring import TextModel
from gpt_jax.evaluation.task import Item, Task

Overflow = Literal["error", "drop", "truncate"]


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


DEFAULTS = Options()


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


def draw(pool: Sequence[Item], item: Item, count: int, seed: int, number: int) -> list[Item]:
    """Draws `count` items of `pool` for item `number` of a task, and never that item itself.

    The draw is a function of (seed, number). The first K of a longer draw are the draw of K. Raises `InputError` where
    the pool is too small.
    """
    rng = np.random.default_rng([seed, number])
    chosen: list[Item] = []
    for index in rng.permutation(len(pool)) if count else ():
        if pool[index] != item:
            chosen.append(pool[index])
        if len(chosen) == count:
            break
    if len(chosen) < count:
        raise InputError(f"--shots: {count} is not allowed: there are {len(chosen)} other examples to draw from")
    return chosen


def shown(task: Task, examples: Sequence[Item]) -> str:
    """The text before an item: each example and the task's delimiter, the last drawn nearest to the item."""
    assert task.example is not None or not examples
    return "".join(f"{task.example(example)}{task.delimiter}" for example in examples)  # type: ignore[misc]


def most_shots(
    task: Task,
    items: Sequence[Item],
    numbers: Sequence[int],
    pool: Sequence[Item],
    room: Sequence[int],
    tokenizer: Tokenizer,
    seed: int,
) -> int:
    """The largest K whose examples leave every item its `room` (tokens): an estimate, each example encoded alone."""
    texts = [shown(task, [example]) for example in pool]
    lengths = np.array([len(ids) for ids in tokenizer.encode_batch(texts)])
    least = len(pool)
    for number, item, free in zip(numbers, items, room, strict=True):
        fits = 0
        for index in np.random.default_rng([seed, number]).permutation(len(pool)):
            if fits == least or (pool[index] != item and lengths[index] > free):
                break
            if pool[index] != item:
                free, fits = free - lengths[index], fits + 1
        least = fits
    return least
