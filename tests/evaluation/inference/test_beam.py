"""Beam search against the enumeration of all hypotheses, and against a beam kept by hand."""

import itertools
import math
import re

import numpy as np
import pytest

from gpt_jax import InputError, ModelConfig
from gpt_jax.evaluation.inference.beam import beam_search, length_penalty
from tests.evaluation.models import log_probs, text_model

V, STEPS = 5, 3
SMALL = ModelConfig(vocab_size=V, context_length=24, n_layer=1, n_head=1, d_model=8, initialization_std=0.8)
PROMPTS = [[1, 2], [3, 0, 4, 4, 1], [2]]
STOP = np.arange(V) == 0


def hypotheses(model, prompt, penalty):
    """(value, tokens) of every hypothesis: those that end with the stop token, and those of the full length."""
    cache = {}

    def table(tokens):
        if tokens not in cache:
            cache[tokens] = log_probs(model, [*prompt, *tokens, 0])[-1]
        return cache[tokens]

    for n in range(STEPS + 1):
        for tokens in itertools.product(range(1, V), repeat=n):
            total = sum(table(tokens[:i])[token] for i, token in enumerate(tokens))
            if n == STEPS:
                yield total / length_penalty(n, penalty), list(tokens)
            else:
                yield (total + table(tokens)[0]) / length_penalty(n + 1, penalty), list(tokens)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
def test_a_beam_as_wide_as_the_tree_finds_the_best_of_all_hypotheses(penalty):
    model = text_model(SMALL)
    found = beam_search(model, PROMPTS, STEPS, V ** (STEPS - 1), penalty, STOP)
    assert found == [max(hypotheses(model, prompt, penalty))[1] for prompt in PROMPTS]


def by_hand(model, prompt, beams, steps, penalty):
    """A narrow beam with lists and a full forward pass for every hypothesis."""
    alive, ended = [(0.0, [])], []
    for n in range(steps):
        grown = []
        for total, tokens in alive:
            step = log_probs(model, [*prompt, *tokens, 0])[-1]
            ended.append(((total + step[0]) / length_penalty(n + 1, penalty), tokens))
            grown += [(total + step[token], [*tokens, token]) for token in range(1, V)]
        alive = sorted(grown, reverse=True)[:beams]
    return max(ended + [(total / length_penalty(steps, penalty), tokens) for total, tokens in alive])[1]


@pytest.mark.parametrize("beams", [1, 2, 4])
def test_a_narrow_beam_keeps_what_a_beam_by_hand_keeps(beams):
    model = text_model(SMALL, seed=3)
    assert beam_search(model, PROMPTS, 6, beams, 0.6, STOP) == [by_hand(model, p, beams, 6, 0.6) for p in PROMPTS]


def test_the_penalty_is_that_of_wu_et_al():
    assert length_penalty(1, 0.6) == 1.0
    assert math.isclose(length_penalty(7, 0.6), 2.0**0.6)


def test_nothing_to_search_is_nothing_found():
    assert beam_search(text_model(SMALL), [], 3, 4, 0.6, STOP) == []
    assert beam_search(text_model(SMALL), [[1]], 0, 4, 0.6, STOP) == [[]]


@pytest.mark.parametrize(
    ("prompts", "steps", "beams", "said"),
    [
        ([[1, V]], 3, 2, f"prompt 0: token {V} is not allowed"),
        ([[1], [2.7]], 3, 2, "prompt 1: token 2.7 is not allowed"),
        ([[]], 3, 2, "prompt 0: "),
        ([[1] * 22], 3, 2, "max_tokens: 3 is not allowed: a whole number from 0 to 2"),
        ([[1]], 2.5, 2, "max_tokens: 2.5"),
        ([[1]], 3, 0, "beams: 0"),
        ([[1]], 3, 10**9, "beams: 1000000000"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(prompts, steps, beams, said):
    with pytest.raises(InputError, match="^" + re.escape(said)):
        beam_search(text_model(SMALL), prompts, steps, beams, 0.6, STOP)


def test_prompts_may_be_arrays_and_nothing_may_be_asked_for():
    model = text_model(SMALL)
    assert beam_search(model, np.array([[1, 2]]), STEPS, 2, 0.6, STOP) == beam_search(
        model, [[1, 2]], STEPS, 2, 0.6, STOP
    )
    assert beam_search(model, [[1], [2]], 0, 2, 0.6, STOP) == [[], []] and beam_search(model, [], 3, 2, 0.6, STOP) == []
