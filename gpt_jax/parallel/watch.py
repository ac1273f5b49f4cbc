"""Notices that another process of a run is gone, and has this one ended with a line that names it.

Each process counts upwards in the key-value store of JAX's coordinator, process 0. A process whose count stands still
has died or hangs. The store cannot be asked before all processes have come. JAX's own watch would abort the others with
a stack trace, after its heartbeat's timeout; ours is sooner, so that JAX's never speaks. A closed connection, which JAX
would notice first, is kept from it (relay.py). A process that ends alone says why in the store.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gpt_jax.parallel.relay import answers

BEATS = 10  # in the time after which a silent process counts as gone
ALIVE, LEFT = "gpt_jax/alive/", "gpt_jax/left/"  # process -> what it counted last; why it ended
FIRST = "gpt_jax/first"  # the first that ended alone, and why
HEARD = "gpt_jax/heard/"  # process -> that it has read it
LISTEN = 1000  # milliseconds that a thread waits in the coordinator's client at a time
FAREWELL = 5  # seconds that a process that leaves gives its threads
ATTENTION = 10  # seconds that a process that ends alone gives the others to hear why


def client() -> Any:
    """JAX's client of the coordinator; None before `jax.distributed.initialize` has made it."""
    from jax._src import distributed  # it has no public name

    return distributed.global_state.client


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
        self._ending, self._client = end, client
        self._first = threading.Lock()  # taken by the thread that ends this process
        self._began = time.monotonic()
        self._together, self._telling, self._parting = False, False, threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._talk, self._listen)]
        self._left: dict[int, str] = {}  # those that ended alone, and why
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
        for thread in self._threads:
            thread.start()

    def closed(self) -> bool:
        """Process 0 closed a connection: ends this process, unless all are still coming, or this one is leaving."""
        if self._telling:
            return True
        if not self._together or self._parting.is_set():
            return False
        time.sleep(0.1)  # what process 0 said last may be on its way
        why = self._left.get(0)
        self._end(self._line(f"process 0 has ended: {why}" if why else "process 0 has closed its connection"))
        return True

    def parting(self) -> None:
        """This process is about to leave: whatever closes from now on is no news.

        The threads leave the coordinator's client first: one that waits in it while Python ends aborts the process.
        """
        self._parting.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(FAREWELL)

    def tell(self, why: str) -> None:
        """Says that this process is about to end alone, and gives the others time to read it.

        Process 0 may end on what it hears before it answers. A thread therefore speaks, and is not waited for long.
        """
        self._telling = True
        speaker = threading.Thread(target=self._say, args=(why,), daemon=True)
        speaker.start()
        speaker.join(ATTENTION)

    def _say(self, why: str) -> None:
        """Says why this process ends, until all others have heard it or end as well."""
        with suppress(Exception):  # the coordinator is gone: there is nobody to tell
            store = self._client()
            store.key_value_set(f"{LEFT}{self._index}", why, allow_overwrite=True)
            with suppress(Exception):  # another was first
                store.key_value_set(FIRST, f"{self._index} {why}")
            while sum(len(store.key_value_dir_get(those)) for those in (HEARD, LEFT)) < self._count:
                time.sleep(0.05)

    def _end(self, line: str) -> None:
        """Has this process end, once: several threads may notice why."""
        if self._first.acquire(blocking=False):
            self._ending(line)

    def _listen(self) -> None:
        """Hears at once that a process ends alone."""
        while not self._parting.is_set():
            asked = time.monotonic()
            try:
                said = self._client().blocking_key_value_get(FIRST, LISTEN)
            except Exception:  # nobody has ended yet, or process 0 is gone: `_watch` says which
                if time.monotonic() - asked < LISTEN / 2000:  # it was no wait: the coordinator is gone
                    self._parting.wait(self._silence_seconds / BEATS)
                continue
            process, _, why = said.partition(" ")
            if int(process) != self._index and not (self._telling or self._parting.is_set()):
                self._left |= {int(process): why}
                with suppress(Exception):  # it has gone already
                    self._client().key_value_set(f"{HEARD}{self._index}", "", allow_overwrite=True)
                self._end(self._line(f"process {process} has ended: {why}"))
            return

    def _talk(self) -> None:
        number = 0
        while not self._parting.is_set():
            number += 1
            try:
                store = self._client()
                store.key_value_set(f"{ALIVE}{self._index}", str(number), allow_overwrite=True)
                found, left = store.key_value_dir_get(ALIVE), store.key_value_dir_get(LEFT)
                self._answered = time.monotonic()
                for key, beat in found:
                    process = int(key.rpartition("/")[2])
                    if self._beats.get(process) != beat:
                        self._beats[process], self._heard[process] = beat, self._answered
                left = {int(key.rpartition("/")[2]): why for key, why in left}
                self._left = {process: why for process, why in left.items() if process != self._index}
            except Exception:  # not there yet, or there no longer: `_watch` says which
                pass
            self._parting.wait(self._silence_seconds / BEATS)

    def _watch(self) -> None:
        while True:
            time.sleep(self._silence_seconds / BEATS)
            problem = self.problem(time.monotonic())
            if problem is not None and not (self._telling or self._parting.is_set()):
                self._end(problem)
                return

    def problem(self, now: float) -> str | None:
        """The line that names who is missing, once that is certain."""
        if not self._together:
            if now - self._began <= self._start_seconds:
                return None
            absent = self._alone if self._index == 0 or answers(self._coordinator) else "process 0"
            return self._line(f"{absent} did not start within {self._start_seconds:g} seconds")
        if self._left:
            process, why = min(self._left.items())
            return self._line(f"process {process} has ended: {why}")
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
