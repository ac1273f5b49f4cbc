"""Zero-shot tasks from the built-in plays, on plays that no start has read, at every checkpoint of a run.

| task | question | right by chance |
|---|---|---|
| `last_word` | the last word of a line, after the lines before it: is it what the model writes? (LAMBADA's form) | 0 |
| `order` | a line, or its words in another order: which is likelier? (minimal pairs, as BLiMP's) | 50 % |
| `next` | which of four lines of the scene comes next? the likeliest per token (`play_next`, docs/TASKS.md) | 25 % |

Nothing is fine-tuned and no example is shown: a model is scored by the likelihood of text alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from experiments.experiment import FinishedRun
from gpt_jax.data.scenes import scenes, shuffled
from gpt_jax.evaluation.inference.requests import Answer, Choice, LogLikelihood, Request, choices, likelihood
from gpt_jax.evaluation.metrics import Estimate, mean
from gpt_jax.evaluation.task import Item, Task

BEFORE = 2  # lines before the one that is asked about
LEAST = 4  # letters of a last word, and words of a line whose order is asked
CHANCE = {"last_word": 0.0, "order": 50.0, "next": 25.0}
BATCH = 16  # windows


def measure(run: FinishedRun, count: int, items: int) -> dict[str, float | list[float]]:
    """The tasks of the plays, each of `items` items, by `by_checkpoint`; and what guessing gives."""
    found = by_checkpoint(run, count, lambda params: scores(run, params, items))
    return found | {f"chance/{name}": value for name, value in CHANCE.items()}


def by_checkpoint(
    run: FinishedRun, count: int, score: Callable[[Any], Mapping[str, float]]
) -> dict[str, float | list[float]]:
    """What `score` gives for the last checkpoint's parameters, "zero_shot/NAME". Over the last `count` checkpoints, the
    scores as lists, and Spearman's rank correlation of each with the log-likelihood per token of the validation text.
    Of a name in "_nats", the correlation is that of its negative, a log-likelihood."""
    from gpt_jax.data.pipeline import validation_batches
    from gpt_jax.evaluation.perplexity import mean_loss
    from gpt_jax.loading import checkpoint_steps, restore

    assert run.folder is not None
    found: dict[str, list[float]] = {}
    for step in sorted(checkpoint_steps(run.folder))[-count:]:
        params = restore(run.config, run.folder, lambda line: None, step).params
        batches = validation_batches(run.corpus, batch_size=BATCH, max_tokens=run.config.training.evaluation_tokens)
        nats, _ = mean_loss(run.config.model, params, batches)
        for name, value in {"log_likelihood": -nats, **score(params)}.items():
            found.setdefault(name, []).append(value)
    likelihoods = found.pop("log_likelihood")
    metrics: dict[str, float | list[float]] = {"zero_shot/log_likelihood_by_checkpoint": likelihoods}
    for name, values in found.items():
        better = [-value for value in values] if name.endswith("_nats") else values
        metrics |= {f"zero_shot/{name}": values[-1], f"zero_shot/{name}_by_checkpoint": values}
        rank = rank_correlation(likelihoods, better)
        metrics |= {f"zero_shot/{name}_rank": rank} if math.isfinite(rank) else {}
    return metrics


def scores(run: FinishedRun, params: Any, items: int) -> dict[str, float]:
    """The score of every task in %, and "last_word_nats": the mean nats of a last word."""
    from gpt_jax.data.public_files import Files
    from gpt_jax.evaluation.asking import Options
    from gpt_jax.evaluation.evaluator import evaluate
    from gpt_jax.evaluation.inference.scoring import TextModel

    model, options = (
        TextModel.of(run.config.model, params, run.corpus.tokenizer),
        Options(limit=items, overflow="truncate"),
    )
    found: dict[str, float] = {}
    for task in TASKS:
        estimates: tuple[tuple[object, Estimate], ...] = evaluate(model, task, Files(), options=options).estimates
        found[task.name] = estimates[0][1].value
        if len(estimates) > 1:
            found[f"{task.name}_nats"] = estimates[1][1].value
    return found


def rank_correlation(first: list[float], second: list[float]) -> float:
    """Spearman's: 1 where both rise together, step by step. NaN where one of them never changes."""
    from scipy import stats

    if min(len(set(first)), len(set(second))) < 2:
        return float("nan")
    return float(stats.spearmanr(first, second)[0])  # type: ignore[arg-type]


def places() -> Iterator[tuple[str, str, str]]:
    """Of the test plays: a name, `BEFORE` lines of a speech, and the line that follows them. No two places overlap."""
    for scene in scenes()["test"]:
        for number, speech in enumerate(scene.speeches):
            for n in range(BEFORE, len(speech.lines), BEFORE + 1):
                name = f"{scene.play}.{scene.number}.{number}.{n}"
                yield name, "\n".join(speech.lines[n - BEFORE : n]), speech.lines[n]


def last_words() -> list[Item]:
    """`context` and `completion`, a word of `LEAST` letters or more, with the space before it."""
    found = []
    for name, before, line in places():
        start, _, word = line.rpartition(" ")
        word = word.rstrip(".,;:!?-")
        if start and word.isalpha() and word.islower() and len(word) >= LEAST:
            found.append({"name": name, "context": f"{before}\n{start}", "completion": f" {word}"})
    return found


def orders() -> list[Item]:
    """`context`, the line, and the line with its inner words in another order; those with punctuation stay in place."""
    rng, found = random.Random("zero-shot order"), []
    for name, before, line in places():
        words = line.split()
        free = [i for i in range(1, len(words) - 1) if words[i].isalpha()]
        for place, word in zip(free, shuffled(rng, [words[i] for i in free]), strict=True):
            words[place] = word
        if len(free) >= LEAST and words != line.split():
            found.append({"name": name, "context": before, "choices": [f"\n{line}", f"\n{' '.join(words)}"]})
    return found


def next_lines() -> list[Item]:
    """The test split of `play_next`."""
    from gpt_jax.data.tasks.plays import play_next

    return [
        {"name": e.id, "context": e.texts[0], "choices": [f" {line}" for line in e.texts[2:]], "answer": e.label}
        for e in play_next()["test"]
    ]


def _ask_word(item: Item, shown: str) -> list[Request]:
    return [LogLikelihood(item["context"], item["completion"])]


def _score_word(item: Item, answers: list[Answer]) -> dict[str, float]:
    found = likelihood(answers[0])
    return {"right": found.greedy, "nats": -found.log_prob}


def _ask_choice(item: Item, shown: str) -> list[Request]:
    return [Choice(item["context"], tuple(item["choices"]))]


def _score_order(item: Item, answers: list[Answer]) -> dict[str, float]:
    right, wrong = choices(answers[0])
    return {"right": right.log_prob > wrong.log_prob}


def _score_next(item: Item, answers: list[Answer]) -> dict[str, float]:
    values = [option.per_token for option in choices(answers[0])]
    return {"right": values.index(max(values)) == item["answer"]}


RIGHT = mean("right", "accuracy")
TASKS = (
    Task(
        "last_word", "the last word of a line", "Paperno et al. 2016 (the form)", lambda files: last_words(), _ask_word,
        _score_word, (RIGHT, mean("nats", unit="nats")),
    ),
    Task(
        "order", "a line, or its words in another order", "Warstadt et al. 2020 (the form)", lambda files: orders(),
        _ask_choice, _score_order, (RIGHT,),
    ),
    Task("next", "which of four lines comes next", "docs/TASKS.md", lambda files: next_lines(), _ask_choice,
         _score_next, (RIGHT,)),
)  # fmt: skip
