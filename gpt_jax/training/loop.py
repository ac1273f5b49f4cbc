"""The loop: one step after another, and hooks at the steps where something is due."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from gpt_jax.errors import TrainingDiverged
from gpt_jax.training.plan import Plan
from gpt_jax.training.state import TrainState


@dataclass(frozen=True)
class Hook:
    """Calls `run(step, state)` after the steps in `due`, counted from 1; `state` must not be kept."""

    due: set[int]
    run: Callable[[int, TrainState], None]


class DelayedMetrics:
    """Reads the metrics of an update after the next update is dispatched, so that the device never waits for the host.

    `report(number, metrics)` gets the metrics of each update, as floats. A metric that is not finite then raises
    `TrainingDiverged`. `unit` is the message's word for an update.
    """

    def __init__(self, report: Callable[[int, dict[str, float]], None], unit: str = "step"):
        self._report, self._unit = report, unit
        self._unread: tuple[int, Mapping[str, jax.Array | float]] | None = None

    def dispatched(self, number: int, metrics: Mapping[str, jax.Array | float]) -> None:
        """Update `number` is dispatched. The updates before it are read."""
        self.read()
        self._unread = number, metrics

    def read(self) -> None:
        """Waits for the newest update, unless it has been read."""
        if self._unread is None:
            return
        (number, unread), self._unread = self._unread, None
        metrics = {name: float(value) for name, value in jax.device_get(unread).items()}
        self._report(number, metrics)
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise TrainingDiverged(f"{name} is {value} at {self._unit} {number}", number)


def train(
    state: TrainState,
    train_step: Callable[..., tuple[TrainState, dict[str, jax.Array]]],
    batches: Iterator[np.ndarray],
    plan: Plan,
    learning_rates: np.ndarray,
    seed: int,
    on_metrics: Callable[[int, dict[str, float]], None],
    hooks: Sequence[Hook] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainState:
    """Trains from `state.step` to the plan's end, or to the first step at which `should_stop()`.

    `batches` gives the tokens of each step from `state.step` on, int32 `(A, B, T + 1)`. `learning_rates[t]` is the rate
    of step t. A step is dispatched before the metrics of the step before are read. Before a hook runs, the metrics of
    its own step have been read. `train_step` may donate its state. Raises `TrainingDiverged` when the loss or the
    gradient's norm is not finite.
    """
    delayed = DelayedMetrics(on_metrics)
    for t in range(int(state.step), plan.steps):
        state, metrics = train_step(state, next(batches), np.float32(learning_rates[t]), np.uint32(seed))
        delayed.dispatched(t + 1, metrics)
        stopping = should_stop()
        due = [hook for hook in hooks if t + 1 in hook.due]
        if due or stopping or t + 1 == plan.steps:
            delayed.read()
        for hook in due:
            hook.run(t + 1, state)
        if stopping:
            break
    return state
