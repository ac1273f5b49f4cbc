"""A process that dies, hangs or never starts ends the others in a stated time, with one line that names it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from experiments.runs.folder import held
from gpt_jax.errors import InputError
from gpt_jax.parallel import hosts, watch
from gpt_jax.parallel.hosts import Hosts, launched, seconds
from gpt_jax.parallel.watch import ALIVE, FIRST, Watch

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


def launcher(port: int, index: int) -> dict[str, str]:
    """The variables by which JAX knows SLURM."""
    return {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
        "JAX_COORDINATOR_PORT": str(port),
    }


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


class Store:
    """A coordinator whose answers the test decides."""

    def __init__(self):
        self.beats, self.left, self.answers = {1: 0, 2: 0}, {}, True

    def key_value_set(self, key, value, allow_overwrite):
        pass

    def blocking_key_value_get(self, key, milliseconds):
        raise TimeoutError

    def key_value_dir_get(self, prefix):
        if not self.answers:
            raise TimeoutError
        said = self.beats if prefix == ALIVE else self.left
        return [(f"{prefix}{process}", str(what)) for process, what in said.items()]


def test_the_one_that_stands_still_is_named_and_the_one_that_goes_on_is_not():
    store, ends = Store(), []
    watch = Watch("localhost:1", 3, 0, 100, 0.5, end=ends.append, client=lambda: store)
    watch.started()
    began = time.monotonic()
    while not ends and time.monotonic() < began + 20:
        store.beats[1] += 1
        time.sleep(0.02)
    assert len(ends) == 1 and "ends: process 2 not heard of for 0.5 seconds" in ends[0]


def wait_for(ends: list[str]) -> None:
    """Half a minute at most: a machine may be busy."""
    began = time.monotonic()
    while not ends and time.monotonic() < began + 30:
        time.sleep(0.02)


def test_one_that_ended_alone_is_named_with_its_reason():
    store, ends = Store(), []
    store.left = {2: "error: a.b: 3 is not allowed"}
    Watch("localhost:1", 3, 0, 100, 0.5, end=ends.append, client=lambda: store).started()
    wait_for(ends)
    assert len(ends) == 1 and "process 2 has ended: error: a.b: 3 is not allowed" in ends[0]


def test_a_coordinator_that_does_not_answer_is_process_0():
    store, ends = Store(), []
    store.answers = False
    Watch("localhost:1", 3, 1, 100, 0.2, end=ends.append, client=lambda: store).started()
    wait_for(ends)
    assert len(ends) == 1 and "process 1 of 3" in ends[0] and "process 0 has not answered" in ends[0]


def test_one_that_tells_the_others_does_not_wait_for_an_answer(monkeypatch):
    """Process 0 may end on what it hears before it answers."""
    monkeypatch.setattr(watch, "ATTENTION", 0.2)
    never = threading.Event()

    class Silent(Store):
        def key_value_set(self, key, value, allow_overwrite=False):
            never.wait(60)

    speaking = Watch("localhost:1", 2, 1, 100, 100, end=lambda line: None, client=Silent)
    began = time.monotonic()
    speaking.tell("error: a.b: 3 is not allowed")
    assert time.monotonic() - began < 30
    never.set()


class Shared:
    """A coordinator that several watches talk to."""

    def __init__(self):
        self.kept, self.told = {}, threading.Event()

    def key_value_set(self, key, value, allow_overwrite=False):
        self.kept[key] = value
        if key == FIRST:
            self.told.set()

    def blocking_key_value_get(self, key, milliseconds):
        if not self.told.wait(milliseconds / 1000):
            raise TimeoutError
        return self.kept[key]

    def key_value_dir_get(self, prefix):
        return [(key, value) for key, value in self.kept.items() if key.startswith(prefix)]


def test_one_that_tells_the_others_stays_until_they_have_heard_and_no_longer(monkeypatch):
    monkeypatch.setattr(watch, "ATTENTION", 50)
    store, ends = Shared(), []
    both = [Watch("localhost:1", 2, n, 100, 600, end=ends.append, client=lambda: store) for n in range(2)]
    for one in both:
        one.started()
    began = time.monotonic()
    both[0].tell("error: a.b: 3 is not allowed")
    assert time.monotonic() - began < 40
    wait_for(ends)
    assert len(ends) == 1 and "process 0 has ended: error: a.b: 3 is not allowed" in ends[0]
    both[1].parting()


def test_a_process_ends_once_however_many_threads_notice_why():
    store, ends = Store(), []
    watch = Watch("localhost:1", 3, 1, 100, 600, end=ends.append, client=lambda: store)
    watch.started()
    assert watch.closed() and watch.closed()
    assert len(ends) == 1 and "process 0 has closed its connection" in ends[0]
    watch.parting()


@pytest.mark.parametrize(
    "error, waits", [(RuntimeError("no devices"), True), (ValueError("Gloo"), True), (InputError("a.b"), False)]
)
def test_an_error_of_jax_waits_for_the_watch_to_name_who_is_lost(monkeypatch, error, waits):
    slept = []
    monkeypatch.setattr(hosts, "_watch", object())
    monkeypatch.setattr(hosts.time, "sleep", slept.append)
    with pytest.raises(type(error)), hosts.naming_the_lost():
        raise error
    assert bool(slept) == waits


def test_the_threads_of_one_that_leaves_are_out_of_the_coordinators_client():
    watch = Watch("localhost:1", 3, 1, 100, 100, end=lambda line: None, client=Store)
    watch.started()
    watch.parting()
    assert not any(thread.is_alive() for thread in watch._threads)


def test_auto_without_a_launcher_is_refused(monkeypatch):
    for name in launcher(1, 0):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="'auto' is not allowed here: there is no launcher"):
        launched(1)


def test_who_a_process_is_comes_from_its_launcher(monkeypatch):
    for name, value in launcher(1234, 1).items():
        monkeypatch.setenv(name, value)
    assert launched(1) == (Hosts("127.0.0.1:1234", 2, 1), [1])
    monkeypatch.setenv("SLURM_NTASKS", "two")
    with pytest.raises(InputError, match="launcher cannot be read"):
        launched(1)


@pytest.mark.parametrize("wrong", ["soon", "0", "-1", "nan", "1e9"])
def test_the_times_are_seconds(monkeypatch, wrong):
    monkeypatch.setenv("GPT_JAX_HOSTS_SILENCE", wrong)
    with pytest.raises(InputError, match="GPT_JAX_HOSTS_SILENCE"):
        seconds("GPT_JAX_HOSTS_SILENCE", 60)
