"""The solved examples before an item, as GPT-3 chooses them: K drawn at random for each item (section 2.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpt_jax.data.tokenizers import Tokenizer
from gpt_jax.errors import InputError
from gpt_jax.evaluation.task import Item, Task


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
