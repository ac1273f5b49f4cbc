"""GPT-3's arithmetic (section 3.9.1): the released files, and items made by the same rule.

The released contexts begin with the blank line that separates them, so nothing is added between examples. Operands are
uniform below 10^D, shorter ones included. For three operations on single digits the paper puts the parentheses around
the last two numbers, and allows 0; the released file puts them around the first two, with digits 1 to 9: ours follow
the file. The files of six digits and of digit sums are released but are not among the paper's ten tasks.
"""

from __future__ import annotations

import random
from functools import partial

from gpt_jax.evaluation.files import Files
from gpt_jax.evaluation.forms import completion_task
from gpt_jax.evaluation.task import Item

COUNT = 2000
DIGITS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
OPERATIONS = {"addition": "plus", "subtraction": "minus", "multiplication": "times"}
NAMES = (
    *(f"{digits}_digit_{operation}" for digits in DIGITS for operation in ("addition", "subtraction")),
    "two_digit_multiplication", "single_digit_three_ops", "sum_of_digits",
)  # fmt: skip
VALUE = {
    "plus": int.__add__,
    "minus": int.__sub__,
    "times": int.__mul__,
    "+": int.__add__,
    "-": int.__sub__,
    "*": int.__mul__,
}


def question(name: str, rng: random.Random) -> tuple[str, int]:
    """One question by the rule of the task `name`, for example "98 plus 45", and its answer."""
    if name == "single_digit_three_ops":
        (a, b, c), (first, second) = (rng.randint(1, 9) for _ in range(3)), (rng.choice("+-*") for _ in range(2))
        return f"({a} {first} {b}) {second} {c}", VALUE[second](VALUE[first](a, b), c)
    if name == "sum_of_digits":
        number = rng.randrange(10**4)
        return f"the sum of the digits of the number {number}", sum(map(int, str(number)))
    digits, _, operation = name.split("_")
    a, b = (rng.randrange(10 ** DIGITS[digits]) for _ in range(2))
    word = OPERATIONS[operation]
    return f"{a} {word} {b}", VALUE[word](a, b)


def make(name: str, rng: random.Random) -> Item:
    """One item by the rule of the task `name`, as the released files write it."""
    text, value = question(name, rng)
    return {"context": f"\n\nQ: What is {text}?\n\nA:", "completion": f" {value}"}


def generated(name: str, seed: int) -> list[Item]:
    """2,000 different items; as many as there are where the rule gives fewer."""
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
        f"{prefix}{name}", f"arithmetic: {name.replace('_', ' ')}{note}", "GPT-3, section 3.9.1", items,
        pool=pool, max_tokens=16,
    )
    for prefix, note, read, draw in (
        ("", "", released, None),
        ("generated_", ", made by the rule", partial(seeded, seed=0), partial(seeded, seed=1)),
    )
    for name in NAMES
    for items, pool in [(partial(read, name=name), draw and partial(draw, name=name))]
)  # fmt: skip
