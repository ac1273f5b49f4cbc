"""Several processes as one program: who they are, and who writes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils

from gpt_jax.errors import InputError


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


def initialize(hosts: str | None) -> None:
    """Joins the other processes; before anything else asks JAX for devices. None: this process is alone.

    "auto" takes everything from the launcher: SLURM, Open MPI, GKE and TPU pods are known to JAX. Raises
    `InputError` when there is no such launcher, or the others do not come.
    """
    if hosts is None:
        return
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        if hosts == "auto":
            jax.distributed.initialize()
        else:
            given = parse_hosts(hosts)
            jax.distributed.initialize(given.coordinator, given.count, given.index)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"--hosts: {hosts!r}: the processes did not come together: {reason}") from None


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


def is_writer() -> bool:
    """Whether this process writes the logs, pictures and results: one does."""
    return jax.process_index() == 0
