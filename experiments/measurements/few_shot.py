"""Accuracy against the number of examples before a question, on mappings that were never trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.experiment import FinishedRun
from gpt_jax.config import ModelConfig
from gpt_jax.data.mappings import EXAMPLE, EXAMPLES, VALUE, unseen
from gpt_jax.model.interface import hidden, logits
from gpt_jax.numerics import pinned

TESTED = 1000  # mappings
SHOTS = (0, 1, 2, 4, 8, 16, 23)
GAIN = 23  # examples, whose accuracy less that of none is the gain
BATCH = 50  # mappings


def in_context(run: FinishedRun) -> dict[str, float | list[float]]:
    """`figures` of the run's model on the mappings that were held out, and of a guesser, as "majority/..."."""
    texts = unseen(TESTED)
    tokens_NT = np.asarray(run.corpus.tokenizer.encode_batch(texts), np.int32)
    right_NK = answered(run.config.model, run.params, tokens_NT)
    guessed_NK = np.asarray([guesses(text) for text in texts])
    ours, theirs = figures(texts, right_NK), figures(texts, guessed_NK)
    return {**ours, **{f"majority/{name}": value for name, value in theirs.items() if not isinstance(value, list)}}


@pinned()
def answered(model: ModelConfig, params: Any, tokens_NT: np.ndarray) -> np.ndarray:
    """Whether each example's value is what the model writes after all that stands before it: bool `(N, EXAMPLES)`.

    What stands before the K-th value (from 0) are K examples and the question: a prompt of K shots. The examples that
    follow change nothing, as attention is causal, so one pass asks the questions of every K.
    """

    @partial(jax.jit, static_argnums=0)
    def right(model, params, tokens_BT):
        h_BTM, head_VM, _ = hidden(model, params, tokens_BT)
        likeliest_BT = jnp.argmax(logits(model, h_BTM, head_VM), axis=-1)[:, :-1]
        right_BT = jnp.pad(likeliest_BT == tokens_BT[:, 1:], ((0, 0), (1, 0)))
        return right_BT.reshape(len(tokens_BT), EXAMPLES, EXAMPLE)[:, :, VALUE]

    parts = [right(model, params, tokens_NT[n : n + BATCH]) for n in range(0, len(tokens_NT), BATCH)]
    return np.concatenate([np.asarray(part) for part in parts])


def figures(texts: Sequence[str], right_NK: np.ndarray) -> dict[str, float | list[float]]:
    """Of bool `(N, EXAMPLES)`, in %: the accuracy after K examples for `SHOTS` and for every K, the gain (after `GAIN`
    less after none), and the recall: the accuracy where the question's key has been shown."""
    by_examples_K = 100 * right_NK.mean(axis=0)
    known_NK = np.asarray([shown(text) for text in texts])
    return {
        **{f"few_shot/accuracy_{k}": float(by_examples_K[k]) for k in SHOTS},
        "few_shot/gain": float(by_examples_K[GAIN] - by_examples_K[0]),
        "few_shot/recall": float(100 * right_NK[known_NK].mean()),
        "few_shot/by_examples": by_examples_K.tolist(),
    }


def examples(text: str) -> list[tuple[str, str]]:
    """The (key, value) pairs of a mapping as it is written."""
    written = [text[n : n + EXAMPLE] for n in range(0, len(text), EXAMPLE)]
    return [(one[:VALUE], one[VALUE]) for one in written]


def shown(text: str) -> list[bool]:
    """Of each example, whether its key stands in an earlier one."""
    keys = [key for key, _ in examples(text)]
    return [key in keys[:n] for n, key in enumerate(keys)]


def guesses(text: str) -> list[bool]:
    """Whether the value that stood in most of the examples before, the earliest of equal ones, is right: what a model
    reaches that sees values and does not look up keys."""
    seen: Counter[str] = Counter()
    right = []
    for _, value in examples(text):
        right.append(bool(seen) and seen.most_common(1)[0][0] == value)
        seen[value] += 1
    return right
