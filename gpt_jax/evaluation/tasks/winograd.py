"""The Winograd schema challenge: which of two names a pronoun stands for, 273 sentences (Levesque et al. 2012).

As in GPT-2 (section 3.4) and Trinh & Le (2018), each candidate replaces the pronoun. Full scoring compares the
probabilities of the whole sentences. Partial scoring compares the probabilities of what follows the candidate, given
what comes before it and the candidate.
"""

from __future__ import annotations

import re

from gpt_jax.data.public_files import Files
from gpt_jax.errors import InputError
from gpt_jax.evaluation.inference.requests import Answer, LogLikelihood, Request, likelihood
from gpt_jax.evaluation.metrics import mean
from gpt_jax.evaluation.task import Item, Row, Task

MASK = "[MASK]"


def read(text: str, where: str) -> list[Item]:
    """Blocks of sentence, pronoun, "A,B" and answer; the pronoun is a word of the sentence, or `MASK`."""
    found = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.split("\n")]
        choices = [choice.strip() for choice in lines[2].split(",")] if len(lines) >= 4 else []
        if len({*choices}) != 2 or not all(choices) or lines[3].lower() not in [choice.lower() for choice in choices]:
            raise InputError(
                f"{where}: {lines[0]!r}: expected a sentence, a pronoun, two different `A,B` and the right one"
            )
        at = re.search(r"\[MASK\]" if lines[1] == MASK else rf"(?<!^)\b{re.escape(lines[1])}\b", lines[0])
        if at is None:
            raise InputError(f"{where}: {lines[0]!r} does not hold {lines[1]!r}")
        before, after = (" ".join(part.split()) for part in (lines[0][: at.start()], lines[0][at.end() :]))
        gap = " " if re.match(r"\w|[\"(]", after) else ""
        answer = [choice.lower() for choice in choices].index(lines[3].lower())
        found.append({"before": before, "after": gap + after, "choices": choices, "answer": answer})
    return found


def contexts(item: Item) -> list[str]:
    """The sentence up to each candidate and with it; inside a sentence, its article is in lower case."""
    start = item["before"]
    inside = bool(start) and not start.endswith((".", "!", "?"))
    names = [
        re.sub(r"^(The|A|An|My|His|Her|Their)\b", lambda m: m[0].lower(), c) if inside else c for c in item["choices"]
    ]
    return [f"{start} {name}" if start else name for name in names]


def items(files: Files) -> list[Item]:
    return read(files.text("wsc273.txt"), "wsc273.txt")


def requests(item: Item, shown: str) -> list[Request]:
    full: list[Request] = [LogLikelihood("", context + item["after"]) for context in contexts(item)]
    return [*full, *(LogLikelihood(context, item["after"]) for context in contexts(item))]


def score(item: Item, answers: list[Answer]) -> Row:
    values = [likelihood(answer).log_prob for answer in answers]
    full, partial = values[:2], values[2:]
    right = item["answer"]
    return {"full": full[right] > full[1 - right], "partial": partial[right] > partial[1 - right]}


TASKS = (
    Task(
        "winograd",
        "which name a pronoun stands for",
        "GPT-2, section 3.4",
        items,
        requests,
        score,
        (mean("partial", "accuracy, partial", chance=50.0), mean("full", "accuracy, full", chance=50.0)),
    ),
)
