"""The loop's promises: order of reading, hooks, stopping; and that a loss which is not finite ends it."""

from typing import Any

import numpy as np
import pytest

from gpt_jax.errors import TrainingDiverged
from gpt_jax.training.loop import Hook, train
from gpt_jax.training.plan import Plan
from gpt_jax.training.state import TrainState

PLAN = Plan(micro_batch=2, accumulation=3, context_length=4, sequences=np.array([2, 4, 6, 6, 6, 6]))


def batches(first=0):
    for number in range(first, PLAN.steps):
        yield np.full((3, 2, 5), number, np.int32)


class Recorder:
    """A step that counts, and writes down what happens in which order."""

    def __init__(self, bad_step=None):
        self.events: list[str] = []
        self.seen: list[int] = []
        self.bad_step = bad_step

    def step(self, state, tokens_ABT1, rate, seed) -> Any:
        self.events.append(f"dispatch {state.step + 1}")
        self.seen.append(int(tokens_ABT1[0, 0, 0]))
        loss = np.float32("nan") if state.step + 1 == self.bad_step else np.float32(rate)
        return TrainState(state.step + 1, None, None), {"train/loss": loss}

    def on_metrics(self, step, metrics):
        self.events.append(f"read {step}")

    def run(self, hooks=(), first: Any = 0, **kwargs):
        state = TrainState(first, None, None)
        rates = np.arange(6) / 10
        return train(state, self.step, batches(first), PLAN, rates, 0, self.on_metrics, hooks, **kwargs)


def test_a_step_is_dispatched_before_the_metrics_of_the_one_before_are_read():
    recorder = Recorder()
    assert recorder.run().step == 6
    expected = ["dispatch 1"] + [e for t in range(2, 7) for e in (f"dispatch {t}", f"read {t - 1}")] + ["read 6"]
    assert recorder.events == expected


def test_a_hook_runs_at_its_steps_after_their_metrics_are_read():
    recorder = Recorder()
    recorder.run([Hook({2, 6}, lambda step, state: recorder.events.append(f"hook {step} {state.step}"))])
    assert [e for e in recorder.events if e.startswith("hook")] == ["hook 2 2", "hook 6 6"]
    assert recorder.events.index("read 2") + 1 == recorder.events.index("hook 2 2")


def test_each_step_sees_the_next_batch_from_where_the_state_stands():
    late, whole = Recorder(), Recorder()
    late.run(first=3)
    whole.run()
    assert whole.seen == [0, 1, 2, 3, 4, 5] and late.seen == [3, 4, 5]


def test_stopping_ends_after_the_step_that_is_running():
    recorder, asked = Recorder(), []
    state = recorder.run(should_stop=lambda: len(asked.append(0) or asked) >= 3)
    assert state.step == 3 and recorder.events[-1] == "read 3"


def test_a_loss_that_is_not_finite_stops_the_run_before_any_hook():
    recorder = Recorder(bad_step=4)
    hook = Hook({4, 5}, lambda step, state: recorder.events.append("hook"))
    with pytest.raises(TrainingDiverged, match="train/loss is nan at step 4") as stopped:
        recorder.run([hook])
    assert stopped.value.step == 4 and "hook" not in recorder.events
