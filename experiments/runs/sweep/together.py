"""Runs whose training steps are one program: the states of runs of one shape are stacked, and the step is vmapped.

Each run goes through its own code as if it were alone: its folder, log, hooks and checkpoints. Only its step is made
with the steps of the others. So the runs are coroutines: one of them goes on until it asks for its next step, and when
all of them have asked, one program makes a step of each.

Over several devices the copies are spread by an axis of their own. A run lives on the device that holds its copy.
"""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.runs.environment import made
from gpt_jax.config import MeshConfig, ModelConfig, OptimizerConfig, RunConfig
from gpt_jax.numerics import pinned
from gpt_jax.training.state import TrainState
from gpt_jax.training.step import make_train_step

COPIES = "copies"  # the mesh axis
# What a step does not read, or gets as an argument. Dropout rates are constants of the program: runs share them.
FREE = {
    "model": (ModelConfig, ("initialization", "initialization_std")),
    "optimizer": (
        OptimizerConfig,
        ("learning_rate", "schedule", "warmup_tokens", "decay_tokens", "final_fraction", "weight_decay"),
    ),
}


def program_of(config: RunConfig) -> RunConfig | None:
    """What decides the program of a run's step: runs for which this is equal can train together. None: it is alone.

    A fine-tuning is, and so is a run whose mesh divides one model.
    """
    mesh = config.mesh
    if config.kind != "pretraining" or mesh.data not in (None, 1) or mesh.fsdp * mesh.tensor > 1:
        return None
    reset = {
        name: dataclasses.replace(getattr(config, name), **{field: getattr(default, field) for field in fields})
        for name, (default, fields) in FREE.items()
    }
    return dataclasses.replace(
        config, **reset, mesh=MeshConfig(), training=dataclasses.replace(config.training, seed=0)
    )


class Lane:
    """A run's place among those that train together, as the run sees it."""

    def __init__(self, number: int, count: int, device: Any):
        self.number, self.devices = number, [device]
        self.how = {**made("together"), "copies": count}
        self._coroutine: _Coroutine | None = None

    def run(self, body: Callable[[], Any]) -> _Coroutine:
        self._coroutine = _Coroutine(body)
        return self._coroutine

    def stepper(self, config: RunConfig) -> Callable[..., Any]:
        """The train step: `(state, tokens_ABT1 on the host, rate, seed) -> (state, metrics)`."""
        decay = np.float32(config.optimizer.weight_decay)

        def step(state: Any, tokens_ABT1: np.ndarray, rate: np.ndarray, seed: np.ndarray) -> tuple[Any, Any]:
            assert self._coroutine is not None
            return self._coroutine.ask((config, state, (tokens_ABT1, rate, seed, decay)))

        return step


def lanes_for(count: int) -> list[Lane]:
    """Places for so many runs, in even parts on the devices there are."""
    devices = jax.local_devices()
    return [Lane(n, count, devices[n // _per_device(count, len(devices))]) for n in range(count)]


def carry_out_together(
    bodies: Sequence[Callable[[], Any]], lanes: Sequence[Lane], end: Callable[[int, Any], None]
) -> None:
    """Calls all of `bodies`, each in its lane; `end` gets the number of each and what it returns."""
    runs = [lane.run(body) for lane, body in zip(lanes, bodies, strict=True)]
    program: Program | None = None
    answers: list[Any] = [None] * len(runs)
    going = dict(enumerate(runs))
    while going:
        asked: dict[int, Any] = {}
        for number, run in list(going.items()):
            request = run.resume(answers[number])
            if run.over:
                del going[number]
                end(number, run.result())
            else:
                asked[number] = request
        if asked:
            try:
                program = program or Program(next(iter(asked.values()))[0], len(runs))
                answers = program.step({n: (state, given) for n, (_, state, given) in asked.items()})
            except Exception as error:  # out of memory, perhaps: every run fails by it, and closes what it has opened
                answers = [error] * len(runs)


class _Coroutine:
    """A thread that runs only while its starter waits for it."""

    def __init__(self, body: Callable[[], Any]):
        self._body, self._go, self._back = body, threading.Semaphore(0), threading.Semaphore(0)
        self._passed: Any = None
        self._error: BaseException | None = None
        self.over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def resume(self, answer: Any) -> Any:
        """Lets the thread go on with `answer`; gives what it asks for next, unless it is over."""
        self._passed = answer
        self._go.release()
        self._back.acquire()
        return self._passed

    def ask(self, request: Any) -> Any:
        """Called by the thread: waits for the answer to `request`. Raises an answer that is an exception."""
        self._passed = request
        self._back.release()
        self._go.acquire()
        if isinstance(self._passed, Exception):
            raise self._passed
        return self._passed

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._passed

    def _run(self) -> None:
        self._go.acquire()
        try:
            self._passed = self._body()
        except BaseException as error:
            self._error = error
        self.over = True
        self._back.release()


class Program:
    """The steps of `count` runs as one program. A run that is over leaves its place idle."""

    @pinned()
    def __init__(self, config: RunConfig, count: int):
        devices = jax.local_devices()
        self._each = _per_device(count, len(devices))
        devices = devices[: -(-count // self._each)]
        self._count = self._each * len(devices)  # the places past the last run are idle
        self._devices, self._mesh = devices, Mesh(np.array(devices), (COPIES,))
        self._spread = NamedSharding(self._mesh, PartitionSpec(COPIES))
        self._config, self._compiled = config, None
        self._state: Any = None
        self._given: list[tuple[Any, ...]] = []  # to each run's step, the newest

    @pinned()
    def step(self, asked: Mapping[int, tuple[Any, tuple[Any, ...]]]) -> list[tuple[Any, Any]]:
        """One step of each run in `asked`: its state, and what its step is given beside the state."""
        some_state, some_given = next(iter(asked.values()))
        if self._state is None:
            states = [asked[n][0] if n in asked else some_state for n in range(self._count)]
            self._state, self._given = self._stacked(states), [some_given] * self._count
        for number, (_, given) in asked.items():
            self._given[number] = given
        given = [jax.device_put(np.stack(values), self._spread) for values in zip(*self._given, strict=True)]
        if self._compiled is None:
            self._compiled = jax.jit(self._function(), donate_argnums=0).lower(self._state, *given).compile()
        self._state, metrics = self._compiled(self._state, *given)
        return [
            (Copy(self._state, n, self._each), {k: _Figure(v, n) for k, v in metrics.items()})
            for n in range(self._count)
        ]

    def _function(self) -> Callable[..., Any]:
        def one(state: TrainState, tokens_ABT1: Any, rate: Any, seed: Any, decay: Any):
            optimizer = copy.copy(self._config.optimizer)
            object.__setattr__(optimizer, "weight_decay", decay)  # traced: no check can read it
            return make_train_step(dataclasses.replace(self._config, optimizer=optimizer))(
                state, tokens_ABT1, rate, seed
            )

        several = jax.vmap(one)
        if len(self._devices) == 1:
            return several
        spec = PartitionSpec(COPIES)
        return jax.shard_map(several, mesh=self._mesh, in_specs=spec, out_specs=spec, check_vma=False)

    def _stacked(self, states: list[Any]) -> Any:
        """States, each on its own device, as arrays `(count, ...)` over the devices."""
        rows = range(0, self._count, self._each)
        stack = jax.jit(lambda *leaves: jnp.stack(leaves))

        def whole(*leaves: jax.Array) -> jax.Array:
            parts = [
                stack(*(jax.device_put(leaf, device) for leaf in leaves[first : first + self._each]))
                for first, device in zip(rows, self._devices, strict=True)
            ]
            shape = (self._count, *leaves[0].shape)
            return jax.make_array_from_single_device_arrays(shape, self._spread, parts)

        return jax.tree.map(whole, *states)


class Copy:
    """One run's `TrainState` among the stacked ones; its arrays are taken out when they are asked for."""

    def __init__(self, stacked: TrainState, number: int, each: int):
        self._stacked, self._number, self._each = stacked, number, each

    @property
    def step(self) -> jax.Array:
        return self._own(self._stacked.step)

    @property
    def params(self) -> Any:
        return self._own(self._stacked.params)

    @property
    def opt_state(self) -> Any:
        return self._own(self._stacked.opt_state)

    def _own(self, tree: Any) -> Any:
        first = self._number // self._each * self._each
        here = lambda x: next(s.data for s in x.addressable_shards if (s.index[0].start or 0) == first)  # noqa: E731
        return _take(jax.tree.map(here, tree), self._number - first)


class _Figure:
    """One run's metric among the stacked ones, read when it is asked for."""

    def __init__(self, stacked: jax.Array, number: int):
        self._stacked, self._number = stacked, number

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self._stacked)[self._number]


@jax.jit
def _take(tree: Any, number: Any) -> Any:
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, number, keepdims=False), tree)


def _per_device(count: int, devices: int) -> int:
    return -(-count // devices)
