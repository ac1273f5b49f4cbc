"""Runs whose training steps are one program: the states of runs of one shape are stacked, and the step is vmapped.

Each run goes through its own code as if it were alone: its folder, log, hooks and checkpoints. Only its step is made
with the steps of the others. So the runs are coroutines: one of them goes on until it asks for its next step, and when
all of them have asked, one program makes a step of each.

Over several devices the copies are spread by an axis of their own. A run lives on the device that holds its copy.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from experiments.runs.environment import made
from experiments.runs.sweep.program import Program, Request, Step, per_device
from gpt_jax.config import FinetuningConfig, MeshConfig, ModelConfig, OptimizerConfig, RunConfig

DROPOUT = ("embedding_dropout", "attention_dropout", "residual_dropout")
SCALARS = ("optimizer.weight_decay", *(f"model.{name}" for name in DROPOUT))  # that a program takes as arguments
# What a step does not read, or gets as an argument.
FREE = {
    "model": (ModelConfig, ("initialization", "initialization_std", *DROPOUT)),
    "optimizer": (
        OptimizerConfig,
        ("learning_rate", "schedule", "warmup_tokens", "decay_tokens", "final_fraction", "weight_decay"),
    ),
}
# The same of a fine-tuning. Where these make arrays of other shapes, the runs are parted once their first steps are
# known.
FREE_FINETUNING = (
    *("weights", "transfer_layers", "examples", "validation_examples", "epochs", "patience"),
    *("learning_rate", "schedule", "warmup_fraction", "auxiliary_weight", "classifier_dropout"),
)


def program_of(config: RunConfig) -> RunConfig | None:
    """What decides the program of a run's step: runs for which this is equal can train together. None: it is alone,
    as its mesh divides one model.
    """
    mesh = config.mesh
    if mesh.data not in (None, 1) or mesh.fsdp * mesh.tensor > 1:
        return None
    free = {**FREE, **({"finetuning": (FinetuningConfig, FREE_FINETUNING)} if config.kind == "finetuning" else {})}
    reset = {
        name: dataclasses.replace(getattr(config, name), **{field: getattr(default, field) for field in fields})
        for name, (default, fields) in free.items()
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

    def stepper(
        self, settings: Any, make: Callable[[Any], Step], constants: Any = (), scalars: Sequence[str] = ()
    ) -> Callable[..., Any]:
        """The run's step, `(state, *given) -> (state, metrics)`; see `kinds.Lane`."""

        def step(state: Any, *given: Any) -> tuple[Any, Any]:
            assert self._coroutine is not None
            return self._coroutine.ask(Request(make, settings, (*SCALARS, *scalars), state, constants, given))

        return step


def lanes_for(count: int) -> list[Lane]:
    """Places for so many runs, in even parts on the devices there are."""
    devices = jax.local_devices()
    return [Lane(n, count, devices[n // per_device(count, len(devices))]) for n in range(count)]


def carry_out_together(
    bodies: Sequence[Callable[[], Any]], lanes: Sequence[Lane], end: Callable[[int, Any], None]
) -> None:
    """Calls all of `bodies`, each in its lane; `end` gets the number of each and what it returns."""
    runs = [lane.run(body) for lane, body in zip(lanes, bodies, strict=True)]
    answers: list[Any] = [None] * len(runs)
    going = dict(enumerate(runs))
    programs: list[tuple[list[int], Program]] | None = None  # with the numbers of their runs
    while going:
        asked: dict[int, Request] = {}
        for number, run in list(going.items()):
            request = run.resume(answers[number])
            if run.over:
                del going[number]
                end(number, run.result())
            else:
                asked[number] = request
        parts = _parted(asked) if programs is None else [numbers for numbers, _ in programs]
        made, programs = programs, []
        for place, numbers in enumerate(parts):
            own = {number: asked[number] for number in numbers if number in asked}
            if not own:
                continue
            try:
                program = made[place][1] if made is not None else Program(list(own.values()))
                found = program.step({numbers.index(n): request.given for n, request in own.items()})
                programs.append((numbers, program))
            except Exception as error:  # out of memory, perhaps: these runs fail by it, and close what they have opened
                found = [error] * len(numbers)
            for number, answer in zip(numbers, found, strict=False):
                answers[number] = answer


def _parted(asked: Mapping[int, Request]) -> list[list[int]]:
    """The numbers of the runs whose first steps have the same shapes."""
    found: dict[Any, list[int]] = {}
    for number, request in asked.items():
        found.setdefault(request.shape, []).append(number)
    return list(found.values())


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
