"""Ctrl-C and SIGTERM, turned into a question that the training loop asks between steps."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Gives `should_stop()`: False until the first signal. A second one raises `KeyboardInterrupt` at once."""
    stopping = False

    def handle(number, frame):
        nonlocal stopping
        if stopping:
            raise KeyboardInterrupt
        stopping = True
        print("\nstopping after this step; once more stops at once, without a checkpoint", file=sys.stderr)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
