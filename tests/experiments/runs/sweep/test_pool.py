"""Processes side by side: each on cores of its own, warm, told to stop, and replaced when one dies."""

import os
import resource
import sys
import threading
import time

import numpy as np
import pytest

from experiments.runs.sweep import pool
from experiments.runs.sweep.pool import Died, core_shares, in_processes

MOST = 60  # seconds that a process may take to do what it is told


def act(task, send, should_stop):
    """What the processes of these tests do: "die", "wait" until told to stop, or say which process they are."""
    if task == "die":
        os._exit(3)
    if task == "wait":
        send("here")
        until = time.monotonic() + MOST
        while not should_stop() and time.monotonic() < until:
            time.sleep(0.01)
    if task == "allocate":
        return faults()
    return task, os.getpid(), sorted(os.sched_getaffinity(0)), should_stop()


def faults():
    """Pages that the kernel handed to a thread which makes and frees 20 arrays of 40 MiB, after the first three."""
    counts = []

    def work():
        for _ in range(20):
            np.ones(40 << 20, np.uint8)
            counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    return max(counts[19] - counts[2], counts[39] - counts[22])


class Results(dict):
    def take(self, number, result):
        self[number] = result
        return False


def never():
    return False


def test_a_process_that_dies_loses_its_task_alone_and_the_others_stay_warm():
    results = Results()
    in_processes(["one", "die", "two", "three"], act, core_shares(1), lambda *said: None, results.take, never)
    assert isinstance(results[1], Died) and results[1].reason == "its process ended with status 3"
    assert [results[n][0] for n in (0, 2, 3)] == ["one", "two", "three"]
    assert results[0][1] != results[2][1] == results[3][1] != os.getpid()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="takes two cores")
def test_all_that_run_are_told_to_stop_each_on_cores_of_its_own_and_no_other_is_begun():
    results, waiting = Results(), []
    before = os.sched_getaffinity(0)
    in_processes(
        ["wait"] * 3,
        act,
        core_shares(2),
        lambda number, said: waiting.append(number),
        results.take,
        lambda: len(waiting) == 2,
    )
    assert sorted(results) == [0, 1] and all(result[3] for result in results.values())
    mine, other = (set(result[2]) for result in results.values())
    assert mine.isdisjoint(other) and mine | other == before == os.sched_getaffinity(0)


def test_the_shares_are_all_cores_once(monkeypatch):
    monkeypatch.setattr(pool, "core_numbers", lambda: [1, 2, 5, 6, 7])
    assert core_shares(2) == [[1, 2], [5, 6, 7]]
    assert core_shares(5) == [[1], [2], [5], [6], [7]]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_the_processes_keep_the_memory_that_their_threads_free():
    """Without it there were 9,044 in a measurement, and a training step on one core spent a third of its time there."""
    results = Results()
    in_processes(["allocate"], act, core_shares(1), lambda *said: None, results.take, never)
    assert results[0] < 100
