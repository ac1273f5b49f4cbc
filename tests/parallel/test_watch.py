"""The watch over other processes: who is named, by whom, and when it stops."""

import threading
import time

from gpt_jax.parallel import watch
from gpt_jax.parallel.watch import ALIVE, FIRST, Watch


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


def test_the_threads_of_one_that_leaves_are_out_of_the_coordinators_client():
    watch = Watch("localhost:1", 3, 1, 100, 100, end=lambda line: None, client=Store)
    watch.started()
    watch.parting()
    assert not any(thread.is_alive() for thread in watch._threads)
