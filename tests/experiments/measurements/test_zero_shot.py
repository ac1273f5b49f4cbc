"""Zero-shot tasks of the plays: what they ask, that no item is of a play that was read, and the rank correlation."""

import pytest

from experiments.measurements import zero_shot
from experiments.measurements.zero_shot import TASKS, last_words, next_lines, orders, rank_correlation
from gpt_jax.data.scenes import TEST
from gpt_jax.evaluation.inference.requests import Choice, Likelihood, LogLikelihood


def test_items_are_of_test_plays_alone_and_the_same_at_every_call():
    assert orders() == orders()
    for found in (last_words(), orders(), next_lines()):
        assert len(found) >= 1000
        assert {item["name"].split(".")[0] for item in found} == set(TEST)


def test_a_last_word_ends_its_line_and_a_wrong_order_has_the_same_words():
    assert all(item["completion"] == f" {item['completion'].strip()}" for item in last_words())
    for item in orders():
        right, wrong = item["choices"]
        assert right != wrong and sorted(right.split()) == sorted(wrong.split())
        assert right.split()[0] == wrong.split()[0] and right.split()[-1] == wrong.split()[-1]


def of(log_prob: float, tokens: int = 1, greedy: bool = False) -> Likelihood:
    return Likelihood(log_prob, tokens, greedy, greedy)


def test_what_is_right_is_greedy_likelier_or_likeliest_per_token():
    word, order, following = TASKS
    assert isinstance(word.requests({"context": "a", "completion": " b"}, "")[0], LogLikelihood)
    assert word.score({}, [of(-2.0, greedy=True)]) == {"right": True, "nats": 2.0}
    assert isinstance(order.requests({"context": "a", "choices": ["b", "c"]}, "")[0], Choice)
    assert order.score({}, [(of(-3.0), of(-4.0))]) == {"right": True}
    assert order.score({}, [(of(-4.0), of(-4.0))]) == {"right": False}
    choices = (of(-4.0, 1), of(-6.0, 2), of(-9.0, 2), of(-9.0, 1))
    assert following.score({"answer": 1}, [choices]) == {"right": True}  # the first has more in all, less per token
    assert following.score({"answer": 0}, [choices]) == {"right": False}


def test_the_rank_correlation_is_of_ranks_and_unknown_where_nothing_changes():
    assert rank_correlation([1, 2, 3, 4], [1, 10, 11, 100]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2], [5, 5]) != rank_correlation([1, 2], [5, 5])  # NaN


def test_every_checkpoint_is_scored_and_the_nats_count_downwards(monkeypatch, tmp_path):
    from dataclasses import dataclass
    from types import SimpleNamespace

    from experiments.experiment import FinishedRun, RunIdentity, load

    @dataclass
    class State:
        params: int

    nats = {1: 5.0, 2: 4.0, 3: 4.5}
    monkeypatch.setattr("gpt_jax.loading.checkpoint_steps", lambda folder: [3, 1, 2])
    monkeypatch.setattr("gpt_jax.loading.restore", lambda config, folder, report, step: State(step))
    monkeypatch.setattr("gpt_jax.data.pipeline.validation_batches", lambda *args, **kwargs: [])
    monkeypatch.setattr("gpt_jax.evaluation.perplexity.mean_loss", lambda model, params, batches: (nats[params], 1))
    monkeypatch.setattr(
        zero_shot, "scores", lambda run, params, items: {"order": 50.0 + params, "last_word_nats": nats[params]}
    )
    config = load("zero_shot").config("small", "smoke", 0)
    run = FinishedRun(RunIdentity("zero_shot", "small", 0, "smoke"), config, None, SimpleNamespace(), folder=tmp_path)
    found = zero_shot.measure(run, 3, 20)
    assert found["zero_shot/log_likelihood_by_checkpoint"] == [-5.0, -4.0, -4.5]
    assert found["zero_shot/order"] == 53 and found["zero_shot/order_rank"] == pytest.approx(0.5)
    assert found["zero_shot/last_word_nats"] == 4.5 and found["zero_shot/last_word_nats_rank"] == pytest.approx(1)
    assert found["chance/next"] == 25
