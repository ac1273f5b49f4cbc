"""Questions in arithmetic by GPT-3's rule (section 3.9.1): operands are uniform below 10^D, and may be shorter."""

from __future__ import annotations

import random

DIGITS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
OPERATIONS = {"addition": "plus", "subtraction": "minus", "multiplication": "times"}
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
