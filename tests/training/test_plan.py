"""Tokens become steps, and the schedules are the papers'."""

import math

import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import configs
from gpt_jax.config import OptimizerConfig, RunConfig, override
from gpt_jax.training.plan import learning_rate, make_plan


def test_linear_warm_up_and_cosine_are_optaxs():
    config = OptimizerConfig(learning_rate=3e-4, warmup_tokens=100, final_fraction=0.1, decay_tokens=900)
    theirs = optax.warmup_cosine_decay_schedule(0.0, 3e-4, warmup_steps=100, decay_steps=900, end_value=3e-5)
    tokens = np.arange(0, 1200)
    np.testing.assert_allclose(learning_rate(config, tokens, 10**6), np.array([theirs(t) for t in tokens]), atol=1e-9)


def test_gpt1_warms_up_over_2000_updates_and_ends_at_zero():
    config = configs.get("gpt1")
    rates = learning_rate(config.optimizer, make_plan(config).tokens, config.training.train_tokens)
    assert rates[0] == 0 and rates[1000] == pytest.approx(1.25e-4) and rates[2000] == pytest.approx(2.5e-4)
    assert rates.argmax() == 2000 and rates[-1] == pytest.approx(0, abs=1e-12)


def test_gpt3_ends_at_a_tenth_from_260_billion_tokens_on():
    optimizer = configs.get("gpt3-175b").optimizer
    at = lambda tokens: float(learning_rate(optimizer, tokens, 300 * 10**9))  # noqa: E731
    assert at(375e6 / 2) == pytest.approx(0.3e-4) and at(375e6) == pytest.approx(0.6e-4)
    halfway = (375e6 + 260e9) / 2
    assert at(halfway) == pytest.approx(0.6e-4 * 0.55)
    assert at(260e9) == pytest.approx(0.06e-4) and at(299e9) == pytest.approx(0.06e-4)


@pytest.mark.parametrize(("schedule", "middle"), [("linear", 0.5), ("constant", 1.0), ("cosine", 0.5)])
def test_schedules_meet_in_the_middle_where_they_should(schedule, middle):
    config = OptimizerConfig(learning_rate=1.0, schedule=schedule)
    assert float(learning_rate(config, 50, 100)) == pytest.approx(middle)


def plan_of(**training):
    changes = {f"training.{key}": value for key, value in training.items()}
    return make_plan(override(RunConfig(), {"model.context_length": 8, **changes}))


@given(st.integers(1, 10_000), st.integers(1, 16), st.sampled_from([None, 1]))
def test_steps_cover_the_tokens_by_less_than_a_batch(train_tokens, sequences, micro_batch):
    plan = plan_of(train_tokens=train_tokens, batch_tokens=8 * sequences, micro_batch=micro_batch)
    assert 0 <= plan.tokens[-1] - train_tokens < 8 * sequences
    assert plan.micro_batch * plan.accumulation == sequences


@given(st.integers(1, 500), st.integers(1, 97))
def test_something_is_due_once_whenever_a_multiple_is_passed(train_tokens, every):
    plan = plan_of(train_tokens=train_tokens, batch_tokens=16)
    for step in range(1, plan.steps + 1):
        passed = any(m % every == 0 for m in range(int(plan.tokens[step - 1]) + 1, int(plan.tokens[step]) + 1))
        assert (step in plan.due(every)) == passed


def test_the_batch_ramps_linearly_in_tokens_and_then_stays():
    plan = plan_of(train_tokens=20_000, batch_tokens=800, micro_batch=4, batch_ramp_tokens=8_000, batch_ramp_start=80)
    sizes = np.diff(plan.tokens)
    seen = plan.tokens[:-1]
    ramping = seen < 8_000
    wanted = 80 + (800 - 80) * seen / 8_000
    assert (sizes[~ramping] == 800).all() and ramping.sum() > 5
    assert (sizes[ramping] <= wanted[ramping]).all()
    assert (sizes[ramping] > wanted[ramping] - 80).all()  # to within what divides the first batch and the full one


@pytest.mark.parametrize(("name", "parts"), [("gpt3-175b", 64), ("gpt3-13b", 128), ("gpt3-1.3b", 32)])
def test_a_ramp_trains_on_the_same_sequences_over_any_number_of_devices(name, parts):
    config = override(configs.get(name), {"training.train_tokens": 2 * 10**9})
    alone, spread = make_plan(config), make_plan(config, parts)
    np.testing.assert_array_equal(alone.sequences, spread.sequences)
    assert spread.micro_batch % parts == 0 and spread.sequences[0] < parts
    assert spread.micro_batch * spread.accumulation == config.training.batch_tokens // 2048


def test_gpt3_175b_ramps_from_32_thousand_tokens_over_12_billion():
    plan = make_plan(configs.get("gpt3-175b"))
    sizes = np.diff(plan.tokens)
    assert sizes[0] == 32_768 and sizes.max() == 3_145_728
    first_full = int(np.argmax(sizes == 3_145_728))
    assert plan.tokens[first_full] == pytest.approx(12e9, rel=0.01)
    assert plan.tokens[-1] == pytest.approx(300e9, rel=1e-4)
    assert math.gcd(16, 1536) == plan.micro_batch
