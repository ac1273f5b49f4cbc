"""Processes side by side, each on cores of its own, that carry out one task after another.

A process is started once and stays warm: what it has imported and compiled serves its later tasks. The processes
ignore the signals of a terminal. This process hears them, and tells all others to stop. A process whose parent is gone
stops as if it had been told to.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from experiments.runs.signals import SIGNALS
from gpt_jax.machine import core_numbers, on_cores
from gpt_jax.training.host_memory import keep_freed_memory

Send = Callable[[Any], None]
Act = Callable[[Any, Send, Callable[[], bool]], Any]  # (task, send, should_stop) -> a result
TICK, PATIENCE = 0.2, 10.0  # seconds: between looks at `should_stop`, and for a process to leave


def core_shares(count: int) -> list[list[int]]:
    """The cores that this process may use, in `count` parts of neighbours, which differ by one at most."""
    cores = core_numbers()
    return [cores[len(cores) * n // count : len(cores) * (n + 1) // count] for n in range(count)]


class Died:
    """The result of a task whose process ended before it was done."""

    def __init__(self, status: int | None):
        killed = status is not None and status < 0
        self.reason = f"its process ended with {f'signal {-status}' if killed else f'status {status}'}"  # type: ignore[operator]


@dataclass
class _Worker:
    process: Any
    connection: Connection
    number: int  # of the task in hand, from 0; below 0: none


def in_processes(
    tasks: Sequence[Any],
    act: Act,
    shares: Sequence[Sequence[int]],
    hear: Callable[[int, Any], None],
    finish: Callable[[int, Any], bool],
    should_stop: Callable[[], bool],
) -> None:
    """`act` on every task, in as many processes as there are shares of cores.

    Args:
      act: a function that can be pickled, as its tasks, its results and what it sends can.
      hear: gets the number of a task and what `act` sent from there.
      finish: gets the number of a task and its result, or `Died`. True ends everything as `should_stop` does.
      should_stop: once true, no task is begun, and those in hand are asked to stop.
    """
    waiting = deque(range(len(tasks)))
    workers: list[_Worker | None] = [None] * len(shares)
    stopping = told = False
    try:
        while waiting or any(worker and worker.number >= 0 for worker in workers):
            for n, worker in enumerate(workers):
                if waiting and (worker is None or worker.number < 0):
                    worker = workers[n] = worker or _start(act, shares[n])
                    worker.number = waiting.popleft()
                    with suppress(OSError):  # it died: the end of its connection is seen below
                        worker.connection.send(("task", tasks[worker.number]))
            there = [(n, worker) for n, worker in enumerate(workers) if worker]
            heard = wait([worker.connection for _, worker in there], TICK)
            for n, worker in there:
                if worker.connection not in heard:
                    continue
                try:
                    kind, content = worker.connection.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    kind, content, workers[n] = "result", Died(worker.process.exitcode), None
                if kind == "said":
                    hear(worker.number, content)
                elif worker.number >= 0:
                    number, worker.number = worker.number, -1
                    stopping |= finish(number, content)
            if not told and (stopping or should_stop()):
                told = True
                waiting.clear()
                _tell(workers, "stop")
        _tell(workers, "leave")
        for worker in workers:
            if worker:
                worker.process.join(PATIENCE)
    finally:
        for worker in workers:
            if worker:
                worker.process.kill()


def _start(act: Act, cores: Sequence[int]) -> _Worker:
    context = multiprocessing.get_context("spawn")  # a fork of a process that has started JAX would hang
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(act, theirs), daemon=True)
    with on_cores(cores):  # a process inherits its cores, and so do all of its threads
        process.start()
    theirs.close()
    return _Worker(process, ours, -1)


def _tell(workers: Sequence[_Worker | None], word: str) -> None:
    for worker in workers:
        if worker:
            with suppress(OSError):  # it died
                worker.connection.send((word, None))


def _serve(act: Act, connection: Connection) -> None:
    """A process of the pool: carries out what it is told, until it is told to leave or its parent is gone."""
    keep_freed_memory()  # before a second thread has an arena of its own, which would give memory back
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    tasks: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    asked = threading.Event()

    def listen() -> None:
        while True:
            try:
                kind, content = connection.recv()
            except (EOFError, OSError):
                kind, content = "leave", None
            if kind != "task":
                asked.set()
            if kind != "stop":
                tasks.put((kind, content))
            if kind == "leave":
                return

    def send(kind: str, content: Any) -> None:
        with suppress(OSError):  # the parent is gone
            connection.send((kind, content))

    threading.Thread(target=listen, name="orders", daemon=True).start()
    while (order := tasks.get())[0] == "task":
        send("result", act(order[1], lambda content: send("said", content), asked.is_set))
