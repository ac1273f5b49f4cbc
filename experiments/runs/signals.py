"""What the outside does to a run: signals that ask it to stop.

Ctrl-C and SIGTERM ask; so do SIGHUP (a closed terminal) and SIGUSR1 (SLURM's usual warning, `--signal=USR1@300`). A
signal that was ignored when the process began, as `nohup` and a shell's `&` have it, stays ignored.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from experiments.terminal import Outlasting

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
URGENT = (signal.SIGINT, signal.SIGTERM)  # a second one of these stops at once
STATUS = 130  # of a command that was stopped at once: the shell's for Ctrl-C
GRACE = 2.0  # seconds that a second signal leaves for an orderly end


class CommandStopped(Exception):
    """A command ended in order because a signal asked it to; `go_on` is the command that goes on, None: the same."""

    def __init__(self, message: str, go_on: str | None = None):
        super().__init__(message)
        self.go_on = go_on


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Gives `should_stop()`: False until the first signal. A second Ctrl-C or SIGTERM stops at once;
    a SIGTERM after a warning (SIGHUP, SIGUSR1) does not, as the save that the warning asked for may be going on.

    It raises `KeyboardInterrupt`; and as no Python runs in the main thread while XLA compiles, a second thread reads
    the signals too, answers them, and ends the process with `STATUS` if the interrupt has not within `GRACE`.
    """
    asked, urgent, over = False, 0, threading.Event()

    def handle(number, frame):
        nonlocal asked, urgent
        asked, urgent = True, urgent + (number in URGENT)
        if urgent > 1:
            raise KeyboardInterrupt

    def watch():
        said, count = False, 0
        while received := os.read(reader, 1):
            count += received[0] in URGENT
            if not said and received[0] in SIGNALS:
                said = True
                say("\nstopping after this step, with a checkpoint if training has begun; once more stops at once")
            elif received[0] in URGENT and count > 1 and not over.wait(GRACE):
                say("\x1b[?25hstopped at once" if sys.stderr.isatty() else "stopped at once")  # and shows the cursor
                os._exit(STATUS)

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    woken_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heard}
    watcher = threading.Thread(target=watch, name="signals", daemon=True)
    watcher.start()
    try:
        yield lambda: asked
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken_before)
        os.close(writer)  # ends the watcher
        watcher.join()
        os.close(reader)


def say(line: str) -> None:
    """A line on stderr, if anybody reads it."""
    stream = Outlasting(sys.stderr, always=True)
    stream.write(line + "\n")
    stream.flush()


def leave(line: str) -> None:
    """Ends this process at once, whatever its threads wait for, with `line` and status 1."""
    with suppress(OSError):  # nobody may be left to read it
        sys.stdout.flush()
        say(line)
    os._exit(1)
