"""What many tasks share: a choice among completions, a free completion (GPT-3, section 2.4), and labelled examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from gpt_jax.data.public_files import Files
from gpt_jax.data.tasks import Example, get_task, load_task
from gpt_jax.errors import unknown
from gpt_jax.evaluation.inference.requests import Answer, Choice, Generate, Likelihood, Request, choices, written
from gpt_jax.evaluation.metrics import mean
from gpt_jax.evaluation.task import Item, Row, Task

Rule = Literal["sum", "mean", "ratio"]
TEST = "test, or validation"


def pick(options: Sequence[Likelihood], alone: Sequence[Likelihood] | None, by: Rule) -> int:
    """The best of some completions. Of equals, the first is best.

    "sum" is the likeliest; "mean" the likeliest per token; "ratio" has the largest P(completion | context) /
    P(completion | answer context), whose denominators are `alone`.
    """
    if by == "mean":
        values = [option.per_token for option in options]
    elif by == "ratio":
        assert alone is not None
        values = [option.log_prob - base.log_prob for option, base in zip(options, alone, strict=True)]
    else:
        values = [option.log_prob for option in options]
    return values.index(max(values))


def is_right(values: Sequence[float], choices: Sequence[str], answer: int) -> bool:
    """Whether the choice of the highest value, the first of equal values, is the right one.

    Choices that read the same are the same: each is right where one is.
    """
    return choices[values.index(max(values))] == choices[answer]


def choice_task(
    name: str,
    summary: str,
    source: str,
    items: Callable[[Files], list[Item]],
    *,
    by: Rule = "mean",
    chance: float,
    pool: Callable[[Files], list[Item]] | None = None,
    delimiter: str = "\n\n",
    answer_context: str = "Answer:",
) -> Task:
    """Items hold `context`, `choices` (with the space before them) and `answer`, the right one's number.

    GPT-3 writes the answer context "Answer: "; its last space is the completion's, as everywhere here.
    """

    def requests(item: Item, shown: str) -> list[Request]:
        completions = tuple(item["choices"])
        alone = [Choice(answer_context, completions)] if by == "ratio" else []
        return [Choice(shown + item["context"], completions), *alone]

    def score(item: Item, answers: list[Answer]) -> Row:
        alone = choices(answers[1]) if by == "ratio" else None
        picked = item["choices"][pick(choices(answers[0]), alone, by)]
        return {"correct": picked == item["choices"][item["answer"]]}  # of equal choices, each is right

    return Task(
        name,
        summary,
        source,
        items,
        requests,
        score,
        (mean("correct", "accuracy", chance=chance),),
        example=lambda item: item["context"] + item["choices"][item["answer"]],
        delimiter=delimiter,
        pool=pool,
    )


def completion_task(
    name: str,
    summary: str,
    source: str,
    items: Callable[[Files], list[Item]],
    *,
    max_tokens: int,
    pool: Callable[[Files], list[Item]] | None = None,
    delimiter: str = "",
    beams: int = 4,
    clip: bool = False,
) -> Task:
    """Items hold `context` and `completion`: right where the first line of the best of `beams` is the completion
    (1: greedy). `clip` as in `Generate`."""

    def requests(item: Item, shown: str) -> list[Request]:
        prompt = shown + item["context"]
        return [Generate(prompt, max_tokens, until=("\n",), beams=beams, length_penalty=0.6, clip=clip)]

    def score(item: Item, answers: list[Answer]) -> Row:
        return {"exact": written(answers[0]).strip() == item["completion"].strip()}

    return Task(
        name,
        summary,
        source,
        items,
        requests,
        score,
        (mean("exact", "exact match"),),
        example=lambda item: item["context"] + item["completion"],
        delimiter=delimiter,
        pool=pool,
    )


def examples(files: Files, name: str, split: str) -> list[Example]:
    """The labelled examples of a split of fine-tuning's task `name`, from a folder at any depth, or from TFDS.

    `TEST` is the test split, or the validation split where the test labels are not public. Raises `InputError`.
    """
    folder, own = None, get_task(name).folder or name
    if files.root is not None:  # the root may be the task's own folder
        folder = files.root if files.root.name == own else files.find(own, kinds="folder").parent
    _, splits = load_task(name, folder)
    labelled = {key: [e for e in own if e.label is not None] for key, own in splits.items()}
    if split == TEST:
        return labelled.get("test") or labelled["validation"]
    if split not in labelled:
        raise unknown(f"split of {name}", split, labelled)
    return labelled[split]
