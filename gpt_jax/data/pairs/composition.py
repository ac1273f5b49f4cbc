"""Pairs for compositional generalisation: what a model writes on commands like those it saw, and on longer or new ones.

A pair has a training part, a test part of the same distribution ("iid"), and test parts of others ("ood..."). All are
prompts with one right completion; a model reads the training part as text, one example a line, and completes the rest.

| pair | trained on | IID test | OOD test |
|---|---|---|---|
| `scan_length` | SCAN's commands of at most 22 actions | a tenth, held out | those of 24 to 48 actions |
| `scan_jump` | "jump" alone, and all without it | a tenth, held out | "jump" in longer commands |
| `scan_turn_left` | "turn left" alone, and all without it | a tenth, held out | "turn left" in longer commands |
| `sums` | sums of numbers of 2 and 3 digits | of other numbers of 2 and 3 digits | of 4, 5 and 6 digits |

SCAN is Lake & Baroni's (2018): `tasks_train_length.txt` and the files beside it hold a line `IN: jump twice OUT: I_JUMP
I_JUMP` for each command. Its length and add-primitive splits have no IID test set: here a command is in it, and never
trained on, if a hash of it says so (`held_out`) and the training file has it once. What the file repeats is the new
primitive alone, so often that it is a tenth of the file: without it there would be nothing to combine. An action is a
word, as it is a symbol to the paper's models: `JUMP` for I_JUMP, `LEFT` for I_TURN_LEFT.

The numbers follow GPT-3's rule (tasks/arithmetic.py): uniform below 10^D, shorter ones included. One of two OOD
operands has all D digits. Two numbers that are held out are so in either order. They are written
`000098+000045=3410000`, in the width that 6 digits need. Every line has `WIDTH` bytes. A window of a model of that
context is therefore a line, each digit has its place, and the model is trained on all places (though not on all digits
there). An answer is written from its last digit to its first, so that each digit needs only what is before it. Lee et
al. 2024 (arXiv 2307.03381) find that a small model learns sums far sooner in this form.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gpt_jax.data.pairs.arithmetic import question
from gpt_jax.data.public_files import Files
from gpt_jax.data.text import Document, Source
from gpt_jax.disk import digest_of
from gpt_jax.errors import InputError, unknown

Item = dict[str, Any]  # one example, as plain values
TRAIN, IID, OOD = "train", "iid", "ood"
ONE_IN = 10  # commands are held out of the training file
TOGETHER = 20  # examples of a document, a line each
DRAWS = 50_000  # of each length of numbers that `sums` trains on
TESTED = 1000  # items of each OOD test set of `sums`
WIDTH = 22  # bytes of a line of `sums`
ACTIONS = 48  # in SCAN's longest answer
ACTION = 6  # bytes of the longest action as it is written here, and the space before it


@dataclass(frozen=True)
class CompositionPair:
    """`read` gives the items (`context`, `completion`) of `splits` and of "train"; an answer has at most `most` bytes,
    the end of its line among them."""

    name: str
    summary: str
    source: str
    splits: tuple[str, ...]
    read: Callable[[Files], dict[str, list[Item]]]
    most: int


def pair_names() -> tuple[str, ...]:
    """The names of all pairs."""
    return tuple(pair.name for pair in PAIRS)


def get_pair(name: str) -> CompositionPair:
    """The pair of the given name. Raises `InputError`."""
    found = next((pair for pair in PAIRS if pair.name == name), None)
    if found is None:
        raise unknown("pair", name, pair_names())
    return found


def held_out(text: str) -> bool:
    """Whether the fixed hash of a text keeps it out of the training text: one text in `ONE_IN`."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % ONE_IN == 0


def scan(files: Files, split: str) -> dict[str, list[Item]]:
    """A split of SCAN by the end of its files' names. Raises `InputError` that names the file or the line."""
    train, test = (_scan_items(files, f"tasks_{part}_{split}.txt") for part in ("train", "test"))
    times = Counter(item["context"] for item in train)
    kept = [item for item in train if times[item["context"]] == 1 and held_out(item["context"])]
    contexts = {item["context"] for item in kept}
    return {TRAIN: [item for item in train if item["context"] not in contexts], IID: kept, OOD: test}


def _scan_items(files: Files, name: str) -> list[Item]:
    items = []
    for number, line in enumerate(files.lines(name), 1):
        match = re.fullmatch(r"(IN: .+ OUT:)((?: I_[A-Z_]+)+) *", line)
        if match is None:
            raise InputError(f"{files.find(name)}: line {number}: {line!r} is not allowed: IN: COMMAND OUT: ACTIONS")
        items.append({"context": match[1], "completion": re.sub("I_(TURN_)?", "", match[2])})
    return items


def sums(files: Files) -> dict[str, list[Item]]:
    """A split of the sums. They are always the same, and no file is read."""
    own = [draw for digits in ("two", "three") for draw in _draws(digits, DRAWS)]
    random.Random(0).shuffle(own)
    found = {TRAIN: [], IID: []}
    for operands, item in own:
        found[IID if held_out(" ".join(sorted(operands))) else TRAIN].append(item)
    for number, digits in ((4, "four"), (5, "five"), (6, "six")):
        drawn = [item for operands, item in _draws(digits, TESTED) if max(map(len, operands)) == number]
        random.Random(0).shuffle(drawn)
        found[f"{OOD}_{number}"] = drawn[:TESTED]
    return found


def _draws(digits: str, count: int) -> list[tuple[tuple[str, str], Item]]:
    """At most `count` different sums, and their operands."""
    rng, found = random.Random(digits), {}
    for _ in range(count):
        text, value = question(f"{digits}_digit_addition", rng)
        a, _, b = text.split()
        found[text] = (a, b), {"context": f"{int(a):06}+{int(b):06}=", "completion": f"{value:07}"[::-1]}
    return list(found.values())


def training_text(name: str, data_dir: Path | None) -> Source:
    """The training part of a pair as documents of `TOGETHER` lines in an order drawn once; nothing that is tested on.

    Raises `InputError`: an unknown pair, files that are missing below `data_dir`.
    """
    items = get_pair(name).read(Files(data_dir))[TRAIN]
    random.Random(0).shuffle(items)
    lines = [item["context"] + item["completion"] + "\n" for item in items]
    texts = ["".join(lines[n : n + TOGETHER]) for n in range(0, len(lines), TOGETHER)]
    return Source(name, digest_of(texts), lambda: (Document.of(f"{name} {n}", text) for n, text in enumerate(texts)))


PAIRS: tuple[CompositionPair, ...] = (
    *(
        CompositionPair(
            f"scan_{name}",
            f"SCAN, {what}",
            f"Lake & Baroni 2018, experiment {number}",
            (IID, OOD),
            partial(scan, split=split),
            ACTIONS * ACTION + 1,
        )
        for name, what, number, split in (
            ("length", "longer action sequences", 2, "length"),
            ("jump", "a new primitive, jump", 3, "addprim_jump"),
            ("turn_left", "a new primitive, turn left", 3, "addprim_turn_left"),
        )
    ),
    CompositionPair(
        "sums",
        "sums of more digits",
        "GPT-3, section 3.9.1",
        (IID, f"{OOD}_4", f"{OOD}_5", f"{OOD}_6"),
        sums,
        8,
    ),
)
