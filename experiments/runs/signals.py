"""Ctrl-C and SIGTERM, turned into a question that a run asks between steps."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STATUS = 130  # of a command that was stopped at once: the shell's for Ctrl-C
GRACE = 2.0  # seconds that a second signal leaves for an orderly end


class Stopped(Exception):
    """A command ended in order because a signal asked it to; `go_on` is the command that goes on, None: the same."""

    def __init__(self, message: str, go_on: str | None = None):
        super().__init__(message)
        self.go_on = go_on


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Gives `should_stop()`: False until the first signal. A second one stops at once.

    It raises `KeyboardInterrupt`; and as no Python runs in the main thread while XLA compiles, a second thread reads
    the signals too, answers them, and ends the process with `STATUS` if the interrupt has not within `GRACE`.
    """
    seen, over = 0, threading.Event()

    def handle(number, frame):
        nonlocal seen
        seen += 1
        if seen > 1:
            raise KeyboardInterrupt

    def watch():
        count = 0
        while received := os.read(reader, 1):
            count += received[0] in SIGNALS
            if count == 1:
                say("\nstopping after this step, with a checkpoint if training has begun; once more stops at once")
            elif count > 1 and not over.wait(GRACE):
                say("\x1b[?25hstopped at once" if sys.stderr.isatty() else "stopped at once")  # and shows the cursor
                os._exit(STATUS)

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    woken_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    watcher = threading.Thread(target=watch, name="signals", daemon=True)
    watcher.start()
    try:
        yield lambda: seen > 0
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken_before)
        os.close(writer)  # ends the watcher
        watcher.join()
        os.close(reader)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def leave(line: str) -> None:
    """Ends this process at once, whatever its threads wait for, with `line` and status 1."""
    with suppress(OSError):  # nobody may be left to read it
        sys.stdout.flush()
        say(line)
    os._exit(1)
