"""A process that dies, hangs or never starts ends the others in a stated time, with one line that names it."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpt_jax.errors import InputError
from gpt_jax.parallel.hosts import seconds
from gpt_jax.parallel.watch import Watch

ROOT = Path(__file__).parents[2]
START, SILENCE = 60, 6
PROGRAM = """
import sys, time
import numpy as np
from jax.experimental import multihost_utils
from experiments.runs.signals import leave
from gpt_jax.parallel.hosts import initialize, naming_the_lost
initialize(sys.argv[1], leave)
multihost_utils.process_allgather(np.array(True))
print("up", flush=True)
with naming_the_lost():
    for _ in range(int(sys.argv[2])):
        multihost_utils.process_allgather(np.array(True))
        time.sleep(0.1)
"""


def start(port: int, index: int, times: int = 100_000, wait: int = START) -> subprocess.Popen:
    env = {
        **os.environ, "JAX_PLATFORMS": "cpu", "GPT_JAX_HOSTS_START": str(wait), "GPT_JAX_HOSTS_SILENCE": str(SILENCE),
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    command = [sys.executable, "-c", PROGRAM, f"127.0.0.1:{port},2,{index}", str(times)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def pair() -> list[subprocess.Popen]:
    """Two processes that are past their first collective."""
    port = free_port()
    both = [start(port, index) for index in range(2)]
    for process in both:
        assert process.stdout is not None
        for line in process.stdout:  # Gloo says things first
            if line == "up\n":
                break
    return both


@pytest.mark.slow
@pytest.mark.parametrize(("lost", "sent"), [(1, signal.SIGKILL), (0, signal.SIGSTOP), (1, signal.SIGSTOP)])
def test_a_process_that_dies_or_hangs_ends_the_other_which_names_it(lost, sent):
    both = pair()
    left = both[1 - lost]
    both[lost].send_signal(sent)
    began = time.monotonic()
    try:
        _, said = left.communicate(timeout=60)
    finally:
        for process in both:
            process.kill()
    assert left.returncode == 1 and time.monotonic() - began < 3 * SILENCE + 10
    lines = [line for line in said.splitlines() if line.startswith("--hosts: ")]
    assert len(lines) == 1 and f"process {1 - lost} of 2" in lines[0] and f"ends: process {lost} " in lines[0], said
    assert "Traceback" not in said and "stack trace" not in said


@pytest.mark.slow
def test_jax_ends_the_others_at_once_where_the_coordinator_is_killed():
    """Its client sees the closed connection before our watch can, and aborts."""
    both = pair()
    both[0].kill()
    both[1].communicate(timeout=60)
    assert both[1].returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize("absent", [0, 1])
def test_a_process_that_never_starts_is_named(absent):
    alone = start(free_port(), 1 - absent, wait=5)
    _, said = alone.communicate(timeout=120)
    assert alone.returncode == 1
    assert f"ends: process {absent} did not start within 5 seconds" in said and len(said.splitlines()) == 1


@pytest.mark.slow
def test_processes_that_end_together_end_well():
    port = free_port()
    for process in [start(port, index, times=3) for index in range(2)]:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said


class Store:
    """A coordinator whose answers the test decides."""

    def __init__(self):
        self.beats, self.answers = {1: 0, 2: 0}, True

    def key_value_set(self, key, value, allow_overwrite):
        pass

    def key_value_dir_get(self, prefix):
        if not self.answers:
            raise TimeoutError
        return [(f"{prefix}{process}", str(beat)) for process, beat in self.beats.items()]


def test_the_one_that_stands_still_is_named_and_the_one_that_goes_on_is_not():
    store, ends = Store(), []
    watch = Watch("localhost:1", 3, 0, 100, 0.5, end=ends.append, client=lambda: store)
    watch.started()
    began = time.monotonic()
    while not ends and time.monotonic() < began + 20:
        store.beats[1] += 1
        time.sleep(0.02)
    assert len(ends) == 1 and "ends: process 2 not heard of for 0.5 seconds" in ends[0]


def test_a_coordinator_that_does_not_answer_is_process_0():
    store, ends = Store(), []
    store.answers = False
    Watch("localhost:1", 3, 1, 100, 0.2, end=ends.append, client=lambda: store).started()
    time.sleep(1)
    assert len(ends) == 1 and "process 1 of 3" in ends[0] and "process 0 has not answered" in ends[0]


@pytest.mark.parametrize("wrong", ["soon", "0", "-1", "nan", "1e9"])
def test_the_times_are_seconds(monkeypatch, wrong):
    monkeypatch.setenv("GPT_JAX_HOSTS_SILENCE", wrong)
    with pytest.raises(InputError, match="GPT_JAX_HOSTS_SILENCE"):
        seconds("GPT_JAX_HOSTS_SILENCE", 60)
