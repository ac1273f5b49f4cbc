"""Notices that another process of a run is gone, and has this one ended with a line that names it.

Each process counts upwards in the key-value store of JAX's coordinator, process 0. A process whose count stands still
has died or hangs. The store cannot be asked before all processes have come. JAX's own watch would abort the others with
a stack trace, after its heartbeat's timeout; ours is sooner, so that JAX's never speaks.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

BEATS = 10  # in the time after which a silent process counts as gone
PREFIX = "gpt_jax/alive/"


def state() -> Any:
    """JAX's own record of the processes; it has no public name."""
    from jax._src import distributed

    return distributed.global_state


def client() -> Any:
    """JAX's client of the coordinator; None before `jax.distributed.initialize` has made it."""
    return state().client


class Watch:
    """Two threads: one talks to the coordinator, which may never answer; the other watches the time.

    Until `started()` is called, the processes have `start_seconds` to come; from then on, each must be heard of every
    `silence_seconds`. `end` is called once, in a thread, with the line that names the lost. It should end the process:
    the main thread may wait for ever.
    """

    def __init__(
        self,
        coordinator: str,
        count: int,
        index: int,
        start_seconds: float,
        silence_seconds: float,
        end: Callable[[str], None],
        client: Callable[[], Any] = client,
    ):
        self._alone = "process 1" if count == 2 else f"one of the processes 1 to {count - 1}"
        self._coordinator, self._count, self._index = coordinator, count, index
        self._start_seconds, self._silence_seconds = start_seconds, silence_seconds
        self._end, self._client = end, client
        self._began = time.monotonic()
        self._together = False
        self._beats: dict[int, str] = {}  # what each process counted last
        self._heard: dict[int, float] = {}  # when that changed
        self._answered = self._began  # when the coordinator did
        threading.Thread(target=self._watch, daemon=True).start()

    def started(self) -> None:
        """All processes have come."""
        now = time.monotonic()
        self._answered = now
        self._heard = dict.fromkeys(range(self._count), now)
        self._together = True
        threading.Thread(target=self._talk, daemon=True).start()

    def _talk(self) -> None:
        number = 0
        while True:
            number += 1
            try:
                store = self._client()
                store.key_value_set(f"{PREFIX}{self._index}", str(number), allow_overwrite=True)
                found = store.key_value_dir_get(PREFIX)
                self._answered = time.monotonic()
                for key, beat in found:
                    process = int(key.rpartition("/")[2])
                    if self._beats.get(process) != beat:
                        self._beats[process], self._heard[process] = beat, self._answered
            except Exception:  # not there yet, or there no longer: `_watch` says which
                pass
            time.sleep(self._silence_seconds / BEATS)

    def _watch(self) -> None:
        while True:
            time.sleep(self._silence_seconds / BEATS)
            problem = self.problem(time.monotonic())
            if problem is not None:
                self._end(problem)
                return

    def problem(self, now: float) -> str | None:
        """The line that names who is missing, once that is certain."""
        if not self._together:
            if now - self._began <= self._start_seconds:
                return None
            absent = self._alone if self._index == 0 or listens(self._coordinator) else "process 0"
            return self._line(f"{absent} did not start within {self._start_seconds:g} seconds")
        if self._index != 0 and now - self._answered > self._silence_seconds:
            return self._line(f"process 0 has not answered for {self._silence_seconds:g} seconds")
        heard = [(n, now - heard) for n, heard in self._heard.items() if n != self._index]
        silent = [str(n) for n, seconds in heard if seconds > self._silence_seconds]
        if silent:
            names = ("process " if len(silent) == 1 else "processes ") + ", ".join(silent)
            return self._line(f"{names} not heard of for {self._silence_seconds:g} seconds")
        return None

    def _line(self, what: str) -> str:
        return (
            f"--hosts: process {self._index} of {self._count} (coordinator {self._coordinator}) ends: {what}: "
            "start all again, and the run goes on from its newest checkpoint"
        )


def listens(address: str) -> bool:
    """Whether anybody listens at "HOST:PORT"."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError:
        return False
    return True
