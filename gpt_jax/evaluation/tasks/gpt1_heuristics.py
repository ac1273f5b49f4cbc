"""GPT-1's zero-shot heuristics, which grow with pre-training (section 5, figure 2-right).

`python -m experiments evaluate RUN --tasks gpt1_heuristics --checkpoints` follows them through a run. The figure of the
paper puts chance at 0 and the state of the art at 1. Its raw figures are unpublished: our scale puts
a perfect score at 1.
"""

from __future__ import annotations

import numpy as np

from gpt_jax.data.public_files import Files
from gpt_jax.evaluation.forms import TEST, examples, is_right
from gpt_jax.evaluation.inference.requests import Answer, Choice, LogLikelihood, Request, choices, likelihood
from gpt_jax.evaluation.metrics import Columns, Metric, mean
from gpt_jax.evaluation.task import Item, Row, Task
from gpt_jax.evaluation.tasks import race as races
from gpt_jax.evaluation.tasks.winograd import contexts, read

VERY = (" negative", " positive")  # in the order of the labels
THRESHOLD_EXAMPLES = 1000  # of CoLA's training set


def sentences(files: Files) -> list[Item]:
    """CoLA's in-domain development set, and training sentences for the threshold, the first 1,000."""
    train = examples(files, "cola", "train")[:THRESHOLD_EXAMPLES]
    parts = ((train, True), (examples(files, "cola", "validation"), False))
    return [{"text": e.texts[0], "label": int(e.label or 0), "train": train} for part, train in parts for e in part]


def acceptability(item: Item, shown: str) -> list[Request]:
    return [LogLikelihood("", item["text"])]


def per_token(item: Item, answers: list[Answer]) -> Row:
    return {"score": likelihood(answers[0]).per_token, "label": item["label"], "train": item["train"]}


def thresholded(columns: Columns) -> float:
    """Matthews correlation x 100. A sentence is acceptable above the threshold that is best on the training part."""
    scores, labels, train = columns["score"], columns["label"], columns["train"]
    cuts = np.unique(np.quantile(scores[train], np.linspace(0, 1, 51))) if train.any() else scores[:1]
    best = max(cuts, key=lambda cut: _matthews(scores[train] > cut, labels[train] > 0))
    return 100 * _matthews(scores[~train] > best, labels[~train] > 0)


def _matthews(said: np.ndarray, true: np.ndarray) -> float:
    """The correlation of two sets of booleans. The correlation with a constant is 0."""
    if said.size == 0 or said.all() or not said.any() or true.all() or not true.any():
        return 0.0
    return float(np.corrcoef(said, true)[0, 1])


def reviews(files: Files) -> list[Item]:
    rows = examples(files, "sst2", TEST)
    return [{"text": e.texts[0].strip(), "answer": int(e.label or 0)} for e in rows]


def very(item: Item, shown: str) -> list[Request]:
    return [Choice(f"{item['text']} very", VERY)]


def likelier(item: Item, answers: list[Answer]) -> Row:
    values = [answer.log_prob for answer in choices(answers[0])]
    return {"correct": is_right(values, VERY, item["answer"])}


def definite_pronouns(files: Files) -> list[Item]:
    """The test part of Rahman & Ng's (2012) definite pronoun resolution data."""
    return read(files.text("test.c.txt"), "test.c.txt")


def rest_of_sequence(item: Item, shown: str) -> list[Request]:
    return [LogLikelihood(context, item["after"]) for context in contexts(item)]


def best_average(item: Item, answers: list[Answer]) -> Row:
    values = [likelihood(answer).per_token for answer in answers]
    return {"correct": is_right(values, item["choices"], item["answer"])}


def chosen(name: str, summary: str, items, requests, score, chance: float) -> Task:
    return Task(name, summary, "GPT-1, figure 2", items, requests, score, (mean("correct", "accuracy", chance=chance),))


TASKS = (
    Task(
        "cola_zero_shot",
        "acceptable above a threshold of mean token log-probability",
        "GPT-1, figure 2",
        sentences,
        acceptability,
        per_token,
        (Metric("Matthews", "%", thresholded, chance=0.0),),
    ),
    chosen("sst2_zero_shot", "`very` positive or negative", reviews, very, likelier, 50.0),
    chosen(
        "race_zero_shot",
        "the answer with the best mean",
        races.items,
        races.answers_after_question,
        races.by_mean,
        25.0,
    ),
    chosen(
        "dprd_zero_shot",
        "the referent that makes the rest likeliest",
        definite_pronouns,
        rest_of_sequence,
        best_average,
        50.0,
    ),
)
