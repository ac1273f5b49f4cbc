"""GPT-3's arithmetic (section 3.9.1): the released files, and items made by the same rule.

The released contexts begin with the blank line that separates them, so nothing is added between examples. Operands are
uniform below 10^D, shorter ones included. For three operations on single digits, the paper puts the parentheses around
the last two numbers and allows 0. The released file puts them around the first two, with digits 1 to 9, and our items
follow the file. The files of six digits and of digit sums are released. They are not among the paper's ten tasks.
"""

from __future__ import annotations

import random
from functools import partial

from gpt_jax.data.pairs.arithmetic import DIGITS, question
from gpt_jax.data.public_files import Files
from gpt_jax.evaluation.forms import completion_task
from gpt_jax.evaluation.task import Item

COUNT = 2000
NAMES = (
    *(f"{digits}_digit_{operation}" for digits in DIGITS for operation in ("addition", "subtraction")),
    "two_digit_multiplication",
    "single_digit_three_ops",
    "sum_of_digits",
)


def make(name: str, rng: random.Random) -> Item:
    """One item by the rule of the task `name`, as the released files write it."""
    text, value = question(name, rng)
    return {"context": f"\n\nQ: What is {text}?\n\nA:", "completion": f" {value}"}


def generated(name: str, seed: int) -> list[Item]:
    """2,000 different items, or all items where the rule gives fewer."""
    rng = random.Random(f"{name} {seed}")
    found: dict[str, Item] = {}
    for _ in range(20 * COUNT):
        item = make(name, rng)
        found[item["context"]] = item
        if len(found) == COUNT:
            break
    return list(found.values())


def released(files: Files, name: str) -> list[Item]:
    return files.jsonl(f"{name}.jsonl", fields={"context": str, "completion": str})


def seeded(files: Files, name: str, seed: int) -> list[Item]:
    return generated(name, seed)


TASKS = tuple(
    completion_task(
        f"{prefix}{name}",
        f"arithmetic: {name.replace('_', ' ')}{note}",
        "GPT-3, section 3.9.1",
        items,
        pool=pool,
        max_tokens=16,
    )
    for prefix, note, read, draw in (
        ("", "", released, None),
        ("generated_", ", made by the rule", partial(seeded, seed=0), partial(seeded, seed=1)),
    )
    for name in NAMES
    for items, pool in [(partial(read, name=name), draw and partial(draw, name=name))]
)
