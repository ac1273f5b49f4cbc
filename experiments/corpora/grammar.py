"""A task for a first look without any data: sentences by a small grammar, good or bad.

"the film was not very dull ." is good: the label is the adjective's, turned round by each "not" or "never". The split
"ood_double" turns it round twice, which no sentence of the others does.
"""

from __future__ import annotations

import random

from gpt_jax.data.tasks import Example, LabelledTask

NAME = "grammar"
SIZES = {"train": 512, "validation": 64, "test": 256, "ood_double": 64}
SUBJECTS = ("the film", "the story", "this book", "her play", "the second act", "every line of it", "the cast")
VERBS = ("was", "seemed", "is", "felt")
DEGREES = ("", "", "very", "rather", "truly")
GOOD = ("clever", "moving", "fresh", "funny", "warm", "lovely")
BAD = ("dull", "clumsy", "stale", "cold", "tired", "empty")


def sentence(rng: random.Random, doubled: bool = False) -> tuple[str, int]:
    """A sentence and its label: 1 is good."""
    label = rng.randrange(2)
    words = [rng.choice(SUBJECTS), rng.choice(VERBS)]
    if doubled:
        words += ["never", "not"]
        adjective = rng.choice(GOOD if label else BAD)
    elif rng.random() < 0.3:
        words.append(rng.choice(("not", "never")))
        adjective = rng.choice(BAD if label else GOOD)
    else:
        adjective = rng.choice(GOOD if label else BAD)
    return " ".join(filter(None, [*words, rng.choice(DEGREES), adjective, "."])), label


def load() -> tuple[LabelledTask, dict[str, list[Example]]]:
    """The task and its splits, which are always the same."""
    rng = random.Random(0)
    made = {split: [sentence(rng, split == "ood_double") for _ in range(size)] for split, size in SIZES.items()}
    task = LabelledTask(name=NAME, shape="classification", labels=("bad", "good"), metric="accuracy", regression=None)
    return task, {
        split: [Example(texts=(text,), label=label, id=str(n), group="") for n, (text, label) in enumerate(rows)]
        for split, rows in made.items()
    }
