"""Zero-shot scores on published test sets, which `python -m experiments data get` fetches.

| name | question | figure |
|---|---|---|
| `blimp` | which of two sentences is likelier? (BLiMP) | % right; 50 by chance |
| `lambada`, `lambada_nats` | the last word of a passage (LAMBADA, OpenAI's text) | % right; nats of the word |
| `wikitext2_nats` | running text of Wikipedia (WikiText-2) | nats per word as distributed |
| `cola`, `sst2`, `dprd` | GPT-1's heuristics (section 5.1) | Matthews' x 100; % right, 50 by chance |

Nothing is fine-tuned and no example is shown. The tasks are those of `python -m experiments evaluate`.
"""

from __future__ import annotations

import math
from typing import Any

from experiments.experiment import FinishedRun

SETS = ("blimp", "lambada", "wikitext2", "cola", "sst2", "winograd")  # of `data get`; winograd's holds `dprd`
# Task of `evaluate` -> how many items are asked (None: all), the same for every run; a text of WikiText is an article.
ITEMS = {
    "blimp": 2010,
    "lambada": 500,
    "wikitext2": 12,
    "cola_zero_shot": None,
    "sst2_zero_shot": 500,
    "dprd_zero_shot": None,
}


def measure(run: FinishedRun, count: int) -> dict[str, float | list[float]]:
    """The scores of a run's last `count` checkpoints (`zero_shot.by_checkpoint`), and what guessing gives.

    Raises `InputError` where a set was not fetched.
    """
    from experiments.measurements.zero_shot import by_checkpoint

    return by_checkpoint(run, count, lambda params: scores(run, params)) | chance()


def chance() -> dict[str, float]:
    """What guessing gives where a figure is a part of the answers, "chance/NAME": of a last word, nothing."""
    from gpt_jax.evaluation.task import find_tasks

    first = {task.name.removesuffix("_zero_shot"): task.metrics[0] for task in find_tasks(list(ITEMS))}
    return {f"chance/{name}": metric.chance or 0.0 for name, metric in first.items() if metric.unit == "%"}


def scores(run: FinishedRun, params: Any) -> dict[str, float]:
    """The figures of the table above, by name."""
    from gpt_jax.data.public_files import Files
    from gpt_jax.evaluation.asking import Options
    from gpt_jax.evaluation.evaluator import evaluate
    from gpt_jax.evaluation.inference.scoring import TextModel
    from gpt_jax.evaluation.task import find_tasks

    model = TextModel.of(run.config.model, params, run.corpus.tokenizer)
    found: dict[str, float] = {}
    for task in find_tasks(list(ITEMS)):
        options = Options(limit=ITEMS[task.name], overflow="truncate")
        outcome = evaluate(model, task, Files(), options=options)
        figures = {metric.name: estimate.value for metric, estimate in outcome.estimates}
        name = task.name.removesuffix("_zero_shot")
        if name != "wikitext2":
            found[name] = next(iter(figures.values()))
        if "perplexity" in figures:
            found[f"{name}_nats"] = math.log(figures["perplexity"])
    return found
