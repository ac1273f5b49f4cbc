"""The Children's Book Test (Hill et al. 2015): which of 10 words belongs in a sentence after 20 others.

GPT-2, section 3.2, compares the probabilities of each choice with the rest of the sentence after it, given what comes
before. The text is the validation set, de-tokenised. `cbt_cn` asks for common nouns, `cbt_ne` for named entities.
"""

from __future__ import annotations

from functools import partial

from gpt_jax.data.public_files import Files
from gpt_jax.errors import InputError
from gpt_jax.evaluation.detokenize import JOINER, PENN, detokenize
from gpt_jax.evaluation.forms import is_right
from gpt_jax.evaluation.inference.requests import Answer, LogLikelihood, Request, likelihood
from gpt_jax.evaluation.metrics import mean
from gpt_jax.evaluation.task import Item, Row, Task

BLANK = "XXXXX"


def items(files: Files, kind: str) -> list[Item]:
    """Reads blocks of 21 numbered lines. The last line has query, answer, nothing and candidates, between tabs."""
    name = f"cbtest_{kind}_valid_2000ex.txt"
    found = []
    for block in files.text(name).strip().split("\n\n"):
        *story, last = [line.partition(" ")[2] for line in block.split("\n")]
        parts = last.split("\t")
        if len(parts) != 4 or BLANK not in parts[0] or parts[1] not in parts[3].split("|"):
            raise InputError(f"{name}: {last!r} is not query, answer, nothing and candidates, between tabs")
        query, answer, _, candidates = parts
        choices = candidates.split("|")
        if not all(choice.strip() for choice in choices):
            raise InputError(f"{name}: {last!r} has an empty candidate: each is a word")
        found.append({"story": story, "query": query, "choices": choices, "answer": choices.index(answer)})
    return found


def requests(item: Item, shown: str) -> list[Request]:
    """One request for each candidate. What comes before is cut back by words where a candidate changes its end."""
    context = running_text([*item["story"], item["query"].partition(BLANK)[0].strip()])
    wholes = [running_text([*item["story"], item["query"].replace(BLANK, choice)]) for choice in item["choices"]]
    while not all(whole.startswith(context) for whole in wholes):
        context = context.rpartition(" ")[0]
    return [LogLikelihood(context, whole[len(context) :]) for whole in wholes]


def running_text(lines: list[str]) -> str:
    """De-tokenised, with the Penn Treebank's brackets and quotes as they were printed."""
    plain = " ".join(line for line in lines if line).replace("-LRB-", "(").replace("-RRB-", ")")
    return detokenize(plain, PENN).replace(JOINER, "").replace("``", '"').replace("''", '"')


def score(item: Item, answers: list[Answer]) -> Row:
    values = [likelihood(answer).log_prob for answer in answers]
    return {"correct": is_right(values, item["choices"], item["answer"])}


TASKS = tuple(
    Task(
        f"cbt_{kind.lower()}",
        f"a word missing from a children's book: {words}",
        "GPT-2, section 3.2",
        partial(items, kind=kind),
        requests,
        score,
        (mean("correct", "accuracy", chance=10.0),),
    )
    for kind, words in (("CN", "common nouns"), ("NE", "named entities"))
)
