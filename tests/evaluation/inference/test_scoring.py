"""Batched scores equal one-by-one scores equal a plain forward pass, with and without shared prefixes."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from gpt_jax import InputError, ModelConfig
from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Strided
from gpt_jax.evaluation.inference import scoring
from gpt_jax.evaluation.inference.encoding import Scored
from gpt_jax.evaluation.inference.scoring import common_tokens, group, score
from tests.evaluation.models import TINY, log_probs, text_model

slow = lambda *values: pytest.param(*values, marks=pytest.mark.slow)  # noqa: E731
PATTERNS = {
    "dense-banded": (Dense(), Banded(8)),
    "strided": (Strided(5),),
    "fixed-log": (Fixed(8, 2), LogSparse(3)),
}


def rows(seed=0):
    """Contexts of many lengths, some with several continuations, some scored well inside what they share."""
    rng = np.random.default_rng(seed)
    made = []
    for length, endings in ((3, 1), (40, 3), (38, 2), (60, 4), (1, 1)):
        context = rng.integers(0, 256, length).tolist()
        for n in range(endings):
            ending = rng.integers(0, 256, 1 + n).tolist()
            made.append(Scored((*context, *ending), length if length != 60 else 20))
    return made


def expected(model, row):
    table = log_probs(model, row.tokens)
    targets = np.array(row.tokens[row.start :])
    scored = table[row.start - 1 :]
    return scored[np.arange(len(targets)), targets].sum(), bool((scored.argmax(-1) == targets).all())


WAYS = [{}, {"share": False}, {"batch_tokens": 1}, {"batch_tokens": 256}, {"batch_tokens": 1, "share": False}]


@pytest.mark.parametrize(
    ("name", "ways"),
    [("dense-banded", WAYS[:2]), slow("dense-banded", WAYS), slow("strided", WAYS[:2]), slow("fixed-log", WAYS[:2])],
)
def test_every_way_to_batch_gives_what_a_plain_forward_pass_gives(name, ways):
    model, asked = text_model(dataclasses.replace(TINY, n_layer=2, attention=PATTERNS[name])), rows()
    reference = [expected(model, row) for row in asked]
    for how in ways:
        found = score(model, asked, **how)
        np.testing.assert_allclose([a.log_prob for a in found], [value for value, _ in reference], atol=1e-4)
        assert [a.greedy for a in found] == [greedy for _, greedy in reference]
        assert [a.tokens for a in found] == [len(row.tokens) - row.start for row in asked]


def test_rows_at_lengths_that_fit_them_give_what_a_plain_forward_pass_gives(monkeypatch):
    """Where compilations cost nothing, every row is padded to the next multiple of 8."""
    monkeypatch.setattr(scoring, "CPU_COMPILATION_FLOPS", 0.0)
    model, asked = text_model(dataclasses.replace(TINY, n_layer=1)), rows()[:5]
    widths, run = set(), scoring._forward

    def watched(model, tokens_BT, *rest):
        widths.add(tokens_BT.shape[1])
        return run(model, tokens_BT, *rest)

    monkeypatch.setattr(scoring, "_forward", watched)
    found = score(model, asked, share=False)
    np.testing.assert_allclose([a.log_prob for a in found], [expected(model, row)[0] for row in asked], atol=1e-4)
    assert widths == {-(-(len(row.tokens) - 1) // 8) * 8 for row in asked}


def test_a_further_length_costs_more_than_small_models_save_and_is_never_worth_it_on_an_accelerator(monkeypatch):
    """Published figures of small models hang on it: another length rounds otherwise."""
    gpt2, all_of_lambada = ModelConfig(), 400_000  # tokens: no padding of it is as much
    assert scoring.worth_compiling(gpt2) < 2000 and scoring.worth_compiling(TINY) > all_of_lambada
    monkeypatch.setattr(scoring.jax, "default_backend", lambda: "gpu")
    assert scoring.worth_compiling(gpt2) == math.inf


def test_greedy_is_true_of_the_models_own_choices_with_and_without_a_shared_prefix():
    model = text_model()
    own = list(np.random.default_rng(1).integers(0, 256, 30))
    for _ in range(3):
        own.append(int(log_probs(model, [*own, 0])[-1].argmax()))
    asked = [Scored(tuple(own), 30), Scored((*own[:31], 7, 7), 30)]
    assert [a.greedy for a in score(model, asked)] == [True, False]
    assert [a.greedy for a in score(model, asked, share=False)] == [True, False]


def test_forbidden_words_leave_the_likeliest_of_the_rest():
    model = text_model()
    context = list(range(20))
    order = (-log_probs(model, [*context, 0])[-1]).argsort()
    first, second, third = (int(i) for i in order[:3])
    ask = lambda token, *forbidden: score(model, [Scored((*context, token), 20, forbidden)])[0]  # noqa: E731
    assert (ask(first).greedy, ask(first).greedy_allowed) == (True, True)
    assert (ask(second, first).greedy, ask(second, first).greedy_allowed) == (False, True)
    assert not ask(first, first).greedy_allowed and not ask(third, first).greedy_allowed
    both = score(model, [Scored((*context, second), 20, (first,)), Scored((*context, third), 20, (first, second))])
    assert [a.greedy_allowed for a in both] == [True, True]


def test_of_equally_likely_tokens_the_first_is_the_greedy_one():
    model = text_model()
    flat = dataclasses.replace(model, params={**model.params, "wte": jnp.zeros_like(model.params["wte"])})
    ask = lambda token, *forbidden: score(flat, [Scored((1, 2, token), 2, forbidden)])[0]  # noqa: E731
    assert [ask(token).greedy for token in (0, 1, 200)] == [True, False, False]
    assert [ask(token, 0, 1).greedy_allowed for token in (0, 1, 2, 3)] == [False, False, True, False]


def test_a_common_beginning_is_shared_by_neighbours_only_where_it_is_long():
    long, short = tuple(range(40)), tuple(range(10))
    asked = [Scored((*long, 1, 2), 40), Scored((*long, 3), 40), Scored((*short, 1), 10), Scored((*short, 2), 10)]
    assert group(asked) == [[0, 1], [2], [3]]
    assert common_tokens(asked[:2]) == 39  # the last common token is run with what follows it
    assert common_tokens([Scored(long, 39), Scored((*long, 1), 40)]) == 38
    assert common_tokens(asked[:1]) == 0


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Scored((1, 257, 3), 1), "row 1: token 257 is not allowed: whole numbers from 0 to 256"),
        (Scored((1, -1, 3), 1), "row 1: token -1"),
        (Scored((1, 2.7, 3), 1), "row 1: token 2.7"),  # type: ignore[arg-type]
        (Scored((1, 2, 3), 0), "row 1: 3 tokens scored from number 0"),
        (Scored((1,) * 98, 1), "row 1: 98 tokens scored from number 1 are not allowed: from 1 on, and at most 97"),
    ],
)
def test_a_row_that_the_model_cannot_look_up_is_refused_by_its_number(row, said):
    with pytest.raises(InputError, match=said):
        score(text_model(TINY), [Scored((1, 2), 1), row])
