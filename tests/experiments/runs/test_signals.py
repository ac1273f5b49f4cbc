"""What the outside does to a run: signals, and readers that go away."""

import os
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from experiments.runs.screen import Screen, outlasting
from experiments.runs.signals import stop_on_signal


@pytest.fixture(autouse=True)
def heard():
    """Signals as a shell in front hands them on. `nohup pytest` ignores SIGHUP, and `pytest &` SIGINT."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT)}
    for number, default in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if before[number] is signal.SIG_IGN:
            signal.signal(number, default)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_asks_and_its_handler_is_given_back(number):
    before = signal.getsignal(number)
    with stop_on_signal() as should_stop:
        assert not should_stop()
        os.kill(os.getpid(), number)
        assert should_stop()
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("warning", [signal.SIGHUP, signal.SIGUSR1])
def test_a_sigterm_after_a_warning_lets_the_save_go_on(warning):
    """SLURM warns by SIGUSR1, and sends SIGTERM at the limit; a second SIGTERM stops at once."""
    with pytest.raises(KeyboardInterrupt), stop_on_signal() as should_stop:
        for number in (warning, warning, signal.SIGTERM):
            os.kill(os.getpid(), number)
            assert should_stop()
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_was_ignored_stays_ignored(number):
    """As `nohup` has it for SIGHUP, and a shell's `&` for SIGINT."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with stop_on_signal() as should_stop:
            os.kill(os.getpid(), number)
            assert not should_stop()
            os.kill(os.getpid(), signal.SIGUSR1)
            assert should_stop()
    finally:
        signal.signal(number, before)


def test_what_is_written_to_a_pipe_that_closed_is_dropped():
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as stream:
        console = outlasting(Console(file=stream))
        os.close(reader)
        console.rule("before the run begins")
        screen = Screen(console)
        for _ in range(3):
            screen.say("nobody reads this")
        with screen.training(10, 0):
            screen.advance(5, 1.0, 2.0, 0.5)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_a_run_does_not_end_for_a_screen_on_a_full_disk():
    with open("/dev/full", "w", encoding="utf-8") as full:
        screen = Screen(outlasting(Console(file=full)))
        for _ in range(3):
            screen.say("there is no room for this")


def test_claims_survive_an_interpreter_that_strips_docstrings():
    command = [sys.executable, "-OO", "-m", "experiments", "list"]
    plain = subprocess.run([sys.executable, "-m", "experiments", "list"], capture_output=True, check=True)
    stripped = subprocess.run(command, capture_output=True, check=True)
    assert stripped.stdout == plain.stdout and plain.stdout
