"""Accuracy by the number of examples, against greedy generation and counts made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.measurements.few_shot import answered, examples, figures, guesses, shown
from gpt_jax import GPT
from gpt_jax.config import ModelConfig
from gpt_jax.data.mappings import EXAMPLE, EXAMPLES, VALUE, WIDTH, unseen
from gpt_jax.generation import generate

TINY = ModelConfig(
    vocab_size=257, context_length=WIDTH, n_layer=1, n_head=1, d_model=8, initialization_std=0.5,
    embedding_dropout=0, attention_dropout=0, residual_dropout=0,
)  # fmt: skip


def test_an_answer_is_right_where_greedy_generation_writes_it():
    params = jax.jit(GPT(TINY).init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    tokens = np.asarray([list(text.encode()) for text in unseen(2)], np.int32)
    shots = (0, 5, EXAMPLES - 1)
    for k in shots:  # the first row holds what the model writes after k examples and the question
        place = k * EXAMPLE + VALUE
        tokens[0, place] = generate(TINY, params, [tokens[0, :place].tolist()], 1, temperature=0)[0][0]
    right = answered(TINY, params, tokens)
    assert right.shape == (2, EXAMPLES) and right[0, list(shots)].all()
    assert not right[1].any() and right[0].sum() < EXAMPLES / 2


def written(pairs: list[tuple[str, str]]) -> str:
    return " ".join(key + value for key, value in pairs * (EXAMPLES // len(pairs))) + "\n"


def test_recall_counts_questions_whose_key_was_shown_and_the_guesser_takes_the_commonest_value():
    text = written([("a", "C"), ("e", "G"), ("a", "C")])
    assert examples(text)[:3] == [("a", "C"), ("e", "G"), ("a", "C")]
    assert shown(text)[:4] == [False, False, True, True]
    assert guesses(text)[:6] == [False, False, True, True, False, True]
    right = np.zeros((2, EXAMPLES), bool)
    right[0] = True
    found = figures([text, text], right)
    assert found["few_shot/accuracy_0"] == found["few_shot/recall"] == 50 and found["few_shot/gain"] == 0
    only = np.asarray([shown(text)])
    assert figures([text], only)["few_shot/recall"] == 100
    assert figures([text], only)["few_shot/gain"] == 100
    assert figures([text], ~only)["few_shot/recall"] == pytest.approx(0)
