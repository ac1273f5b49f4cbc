"""Several processes as one program: who they are, and who writes."""

from __future__ import annotations

import atexit
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from gpt_jax.errors import InputError
from gpt_jax.parallel import watch
from gpt_jax.parallel.relay import Relay

START, SILENCE = 300.0, 60.0  # seconds: for all processes to come, and between two signs of life of each
_watch: watch.Watch | None = None  # one a process, as JAX's client is


@dataclass(frozen=True)
class Hosts:
    """`coordinator` "HOST:PORT" of process 0, the number of processes, and which this is."""

    coordinator: str
    count: int
    index: int


def parse_hosts(text: str) -> Hosts:
    """Reads "HOST:PORT,COUNT,INDEX". Raises `InputError`."""
    coordinator, *numbers = text.split(",")
    host, colon, port = coordinator.rpartition(":")
    good = colon and host and port.isdigit() and len(numbers) == 2 and all(n.isdigit() for n in numbers)
    if not good or not int(numbers[1]) < int(numbers[0]):
        raise InputError(f"--hosts: {text!r} is not allowed: HOST:PORT,COUNT,INDEX with INDEX below COUNT, or auto")
    return Hosts(coordinator, int(numbers[0]), int(numbers[1]))


def initialize(hosts: str | None, end: Callable[[str], None]) -> None:
    """Joins the other processes; before anything else asks JAX for devices. None: this process is alone.

    From then on a process that dies or hangs has the others call `end` with a line that names it, within
    GPT_JAX_HOSTS_SILENCE seconds (60); one that does not start, within GPT_JAX_HOSTS_START seconds (300). A second call
    does nothing.

    "auto" takes everything from the launcher: SLURM, Open MPI, GKE and TPU pods are known to JAX. Raises
    `InputError` when there is no such launcher, or the others do not come.
    """
    global _watch
    if hosts is None or _watch is not None:
        return
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    start, silence = seconds("GPT_JAX_HOSTS_START", START), seconds("GPT_JAX_HOSTS_SILENCE", SILENCE)
    patience: dict[str, Any] = {  # JAX's own, which aborts: longer than ours
        "initialization_timeout": int(2 * start + 60),
        "heartbeat_timeout_seconds": int(10 * silence + 60),
    }
    given, devices = launched(start) if hosts == "auto" else (parse_hosts(hosts), None)
    try:
        _watch = watch.Watch(given.coordinator, given.count, given.index, start, silence, end)
        there = given.coordinator if given.index == 0 else Relay(given.coordinator, _watch.closed).address
        jax.distributed.initialize(there, given.count, given.index, devices, "deactivate", **patience)
        atexit.register(_watch.parting)  # runs before JAX's own farewell, which closes connections
        _watch.started()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"--hosts: {hosts!r}: the processes did not come together: {reason}") from None


def launched(patience: float) -> tuple[Hosts, Sequence[int] | None]:
    """Who this process is by its launcher, and which of its machine's devices it has (None: all), as JAX finds both.

    JAX's own `initialize` would not let a relay stand between. `patience` (seconds) is for launchers that have to be
    asked. Raises `InputError` where there is no launcher that JAX knows.
    """
    from jax._src.clusters import ClusterEnv  # it has no public name

    address = os.environ.get("JAX_COORDINATOR_ADDRESS")
    try:
        coordinator, count, index, devices = ClusterEnv.auto_detect_unset_distributed_params(
            address, None, None, None, None, int(patience)
        )
    except Exception as error:  # what a launcher's variables or its network hold
        raise InputError(f"--hosts: 'auto': the launcher cannot be read: {type(error).__name__}: {error}") from None
    if coordinator is None or count is None or index is None:
        raise InputError(
            "--hosts: 'auto' is not allowed here: there is no launcher that JAX knows (SLURM, Open MPI, GKE, a TPU "
            "pod): HOST:PORT,COUNT,INDEX says it by hand"
        )
    return Hosts(coordinator, count, index), devices


def tell_the_others(why: str) -> bool:
    """Before this process ends alone: each of the others ends too, with a line that says `why`.

    True where there are others. The process must then leave by `os._exit`: JAX's farewell would wait for them.
    """
    if _watch is not None:
        _watch.tell(why)
    return _watch is not None


def seconds(variable: str, default: float) -> float:
    """A time from the environment. Raises `InputError` unless it is a number from 1 to 86400."""
    text = os.environ.get(variable, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 1 <= value <= 86_400:
        raise InputError(f"{variable}: {text!r} is not allowed: seconds, 1 to 86400")
    return value


@contextmanager
def naming_the_lost() -> Iterator[None]:
    """Where JAX fails because another process is gone, waits until the watch has named that one.

    JAX says only that a connection was closed, or that it finds no devices.
    """
    try:
        yield
    except InputError:
        raise
    except (RuntimeError, ValueError):  # JAX's own errors are of the first kind, Gloo's of either
        if _watch is not None:
            time.sleep(2 * seconds("GPT_JAX_HOSTS_SILENCE", SILENCE))  # the watch ends the process in this time
        raise


def agreed(should_stop: Callable[[], bool], every: int = 10) -> Callable[[], bool]:
    """`should_stop`, with all processes of one mind: they ask one another at every `every`-th call, and all stop where
    one of them wants to. All must call it equally often. A process alone answers at once."""
    if jax.process_count() == 1:
        return should_stop
    calls = itertools.count(1)

    def ask() -> bool:
        if next(calls) % every:
            return False
        return bool(multihost_utils.process_allgather(np.array(should_stop())).any())

    return ask


def of_the_first(value: int) -> int:
    """The first process's `value`, in every process. All must call it."""
    return value if jax.process_count() == 1 else int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def is_writer() -> bool:
    """Whether this process writes the logs, pictures and results: one does."""
    return jax.process_index() == 0
