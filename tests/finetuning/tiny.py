"""A model, a tokenizer and tasks small enough for a test."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpt_jax.config import FinetuningConfig, ModelConfig, RunConfig
from gpt_jax.data.tasks import Example, LabelledTask
from gpt_jax.data.tokenizers import BytesTokenizer

MODEL = ModelConfig(
    vocab_size=257,
    context_length=48,
    n_layer=2,
    n_head=2,
    d_model=16,
    norm="post",
    initialization="gpt1",
    initialization_std=0.2,
    embedding_dropout=0.0,
    attention_dropout=0.0,
    residual_dropout=0.0,
)
TOKENIZER = BytesTokenizer()


def run_config(**changes) -> RunConfig:
    """A run on some task; `changes` are of the finetuning section."""
    settings = {"task": "tiny", "epochs": 2, "batch_size": 8, "learning_rate": 3e-3, **changes}
    return RunConfig(model=MODEL, finetuning=FinetuningConfig(**settings))


def task(shape: Any, regression: tuple[float, float] | None = None) -> LabelledTask:
    labels = () if regression or shape == "multiple_choice" else ("no", "yes")
    return LabelledTask(
        name="tiny", shape=shape, labels=labels, metric="pearson" if regression else "accuracy", regression=regression
    )


def example(*texts: str, label: int | float | None = None, number: int = 0) -> Example:
    return Example(texts=texts, label=label, id=str(number), group="")


def truth(data: Sequence[Example]) -> np.ndarray:
    """The labels."""
    return np.array([e.label for e in data])  # type: ignore[arg-type]


def examples(shape: str, count: int, seed: int = 0, regression: bool = False) -> list[Example]:
    """What depends on one letter: easy to learn."""
    rng = random.Random(seed)
    out = []
    for number in range(count):
        label = rng.randrange(2)
        noise = lambda: "".join(rng.choices("abc", k=rng.randrange(1, 4)))  # noqa: E731
        sign = "x" if label else "y"
        if shape == "classification":
            texts = (noise() + sign + noise(),)
        elif shape == "multiple_choice":
            answers = [noise() + "y" + noise() for _ in range(rng.randrange(2, 4))]
            label = rng.randrange(len(answers))
            answers[label] = noise() + "x" + noise()
            texts = (noise(), noise(), *answers)
        else:
            texts = (noise() + sign, noise() + sign)
        out.append(example(*texts, label=5.0 * label if regression else label, number=number))
    return out
