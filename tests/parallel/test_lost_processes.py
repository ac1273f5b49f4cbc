"""A process that dies, hangs or never starts ends the others in a stated time, with one line that names it."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.runs.folder import held
from tests.parallel.launcher import launcher

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


MISTAKEN = """
import sys
import numpy as np
from jax.experimental import multihost_utils
from experiments.command import in_one_line
from experiments.runs.signals import leave
from gpt_jax.errors import InputError
from gpt_jax.parallel.hosts import initialize

def act():
    initialize(sys.argv[1], leave)
    multihost_utils.process_allgather(np.array(True))
    raise InputError("a.b: 3 is not allowed")

sys.exit(in_one_line(act))
"""


def start(
    port: int, index: int, times: int = 100_000, wait: int = START, program: str = PROGRAM, auto: bool = False
) -> subprocess.Popen:
    env = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "GPT_JAX_HOSTS_START": str(wait),
        "GPT_JAX_HOSTS_SILENCE": str(SILENCE),
        "PYTHONPATH": str(ROOT),
    }
    env |= launcher(port, index) if auto else {}
    command = [sys.executable, "-c", program, "auto" if auto else f"127.0.0.1:{port},2,{index}", str(times)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def pair(auto: bool = False) -> list[subprocess.Popen]:
    """Two processes that are past their first collective."""
    port = free_port()
    both = [start(port, index, auto=auto) for index in range(2)]
    for process in both:
        assert process.stdout is not None
        for line in process.stdout:  # Gloo says things first
            if line == "up\n":
                break
    return both


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "sent", "auto"),
    [
        (0, signal.SIGKILL, False),
        (1, signal.SIGKILL, False),
        (0, signal.SIGSTOP, False),
        (1, signal.SIGSTOP, False),
        (0, signal.SIGKILL, True),
        (1, signal.SIGKILL, True),
    ],
)
def test_a_process_that_dies_or_hangs_ends_the_other_which_names_it(lost, sent, auto):
    """Also where the launcher, and not the user, says who the processes are."""
    both = pair(auto)
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
@pytest.mark.parametrize("wrong", [0, 1])
def test_wrong_use_by_one_process_ends_the_other_which_says_why(wrong):
    port = free_port()
    both = [start(port, index, program=MISTAKEN if index == wrong else PROGRAM) for index in range(2)]
    said = [process.communicate(timeout=90)[1] for process in both]
    assert [process.returncode for process in both] == [2 if index == wrong else 1 for index in range(2)], said
    assert "error: a.b: 3 is not allowed" in said[wrong].splitlines()
    line = [line for line in said[1 - wrong].splitlines() if line.startswith("--hosts: ")]
    assert len(line) == 1 and f"process {wrong} has ended: error: a.b: 3 is not allowed" in line[0]
    assert "stack trace" not in "".join(said)


def experiments(port: int, index: int, *words: object, cache: Path) -> subprocess.Popen:
    """One of two processes of the command line."""
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "GPT_JAX_HOSTS_START": "90", "GPT_JAX_CACHE": str(cache)}
    command = [sys.executable, "-m", "experiments", *map(str, words), "--hosts", f"127.0.0.1:{port},2,{index}"]
    return subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [0, 1])
def test_wrong_use_before_a_process_has_joined_ends_the_other_which_says_why(wrong, tmp_path):
    port, words = free_port(), ["run", "quickstart", "--scale", "smoke", "--out", tmp_path / "runs"]
    lacking = ["--data-dir", tmp_path / "missing"]
    both = [experiments(port, n, *words, *(lacking if n == wrong else []), cache=tmp_path / "cache") for n in range(2)]
    said = [process.communicate(timeout=200)[1] for process in both]
    assert [process.returncode for process in both] == [2 if n == wrong else 1 for n in range(2)], said
    line = [line for line in said[1 - wrong].splitlines() if line.startswith("--hosts: ")]
    assert len(line) == 1 and f"process {wrong} has ended: error: --data-dir: " in line[0] and "missing" in line[0]
    assert "Traceback" not in "".join(said) and "stack trace" not in "".join(said)


@pytest.mark.slow
def test_a_writer_that_is_refused_its_folder_ends_the_other_which_says_why(tmp_path):
    port, words = free_port(), ["run", "quickstart", "--scale", "smoke", "--out", tmp_path]
    words += ["model.vocab_size=257", "data.tokenizer=bytes"]
    folder = tmp_path / "quickstart" / "gpt" / "seed-0"
    folder.mkdir(parents=True)
    with held(folder):
        both = [experiments(port, n, *words, cache=tmp_path / "cache") for n in range(2)]
        said = [process.communicate(timeout=200)[1] for process in both]
    assert [process.returncode for process in both] == [2, 1], said
    line = [line for line in said[1].splitlines() if line.startswith("--hosts: ")]
    assert len(line) == 1 and "process 0 has ended: error: " in line[0]
    assert f"is being written by process {os.getpid()}" in line[0]


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
