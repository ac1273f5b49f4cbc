"""Trackers are guests: whatever one does, the run's own file holds every line, and the run is told once."""

import errno
import json
import struct
import threading
import time
from pathlib import Path

import pytest

from gpt_jax.config import differences, digest, override
from gpt_jax.training import trackers
from gpt_jax.training.metrics_log import MetricsLog
from gpt_jax.training.trackers import Guarded, open_trackers
from tests.training.tiny import TINY

WATCHED = override(TINY, {"training.tensorboard": True})
STEPS = range(1, 8)


class Recorder:
    """Keeps what it is given; `at` maps a step, or "close", to what then happens."""

    def __init__(self, **at):
        self.at, self.lines, self.closed = at, [], 0

    def write(self, step, tokens, values):
        self.at.get(f"step{step}", lambda: None)()
        self.lines.append((step, tokens, values))

    def close(self):
        self.closed += 1
        self.at.get("close", lambda: None)()


def failing(error):
    def fail():
        raise error

    return fail


def fill_a_disk():
    Path("/dev/full").write_bytes(b"x")


def no_module():
    import a_module_that_is_not_there  # type: ignore # noqa: F401


def log_with(path, recorder, patience=60.0):
    """Writes the steps with a tracker, and returns the warnings. The file must hold every line."""
    warnings = []
    log = MetricsLog(path / "metrics.jsonl", 0, [Guarded("X", lambda: recorder, warnings.append, patience)])
    for step in STEPS:
        log.write(step, 10 * step, {"train/loss": 1 / step})
    log.close()
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines == [{"step": step, "tokens": 10 * step, "train/loss": 1 / step} for step in STEPS]
    return warnings


def test_a_tracker_gets_every_line_and_is_closed(tmp_path):
    recorder = Recorder()
    assert log_with(tmp_path, recorder) == []
    assert recorder.lines == [(step, 10 * step, {"train/loss": 1 / step}) for step in STEPS]
    assert recorder.closed == 1


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ({"step3": failing(RuntimeError("no\nroute"))}, "RuntimeError: no route"),
        ({"step3": fill_a_disk}, "OSError: [Errno 28] No space left on device"),
        ({"step3": no_module}, "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ({"step3": failing(SystemExit(1))}, "SystemExit: 1"),
        ({"close": failing(ConnectionError())}, "ConnectionError"),
        ({"step3": failing(ValueError("a")), "close": failing(ValueError("b"))}, "ValueError: a"),
    ],
)
def test_a_tracker_that_fails_costs_one_line_of_warning(tmp_path, at, told):
    recorder = Recorder(**at)
    assert log_with(tmp_path, recorder) == [f"X failed and is left alone, the run goes on: {told}"]
    assert [step for step, _, _ in recorder.lines] == ([1, 2] if "step3" in at else list(STEPS))


def test_a_tracker_that_hangs_holds_nothing_up(tmp_path):
    forever = threading.Event()
    try:
        (warning,) = log_with(tmp_path, Recorder(step3=forever.wait), patience=0.2)
        assert "did not end within 0.2 s" in warning
    finally:
        forever.set()


def test_a_tracker_that_lags_far_behind_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "MOST_WAITING", 2)
    forever = threading.Event()
    try:
        assert log_with(tmp_path, Recorder(step1=forever.wait)) == [
            "X failed and is left alone, the run goes on: it is 2 lines behind"
        ]
    finally:
        forever.set()


def test_a_tracker_that_does_not_open_is_left_alone(tmp_path):
    warnings = []
    guarded = Guarded("X", failing(OSError(errno.ENETUNREACH, "Network is unreachable")), warnings.append)
    guarded.write(1, 10, {})
    guarded.close()
    assert len(warnings) == 1 and "Network is unreachable" in warnings[0]


def test_a_tracker_that_takes_forever_to_open_holds_nothing_up():
    forever, warnings = threading.Event(), []
    started = time.monotonic()
    try:
        guarded = Guarded("X", forever.wait, warnings.append, patience=0.2)  # type: ignore[arg-type]
        guarded.write(1, 10, {})
        guarded.close()
    finally:
        forever.set()
    assert len(warnings) == 1 and "did not end within 0.2 s" in warnings[0] and time.monotonic() - started < 5


def test_trackers_are_no_part_of_what_a_run_is():
    watched = override(WATCHED, {"training.wandb": True})
    assert digest(watched) == digest(TINY) and differences(watched, TINY) == {}
    assert differences(override(watched, {"training.train_tokens": 999}), TINY).keys() == {"training.train_tokens"}


def test_tensorboard_on_a_full_disk_is_left_alone(tmp_path, monkeypatch):
    writer = pytest.importorskip("tensorboardX.record_writer")
    monkeypatch.setattr(trackers, "FLUSH_SECONDS", 0)
    warnings = []
    (guarded,) = open_trackers(WATCHED, tmp_path / "whole", 0, warnings.append)
    guarded.close()
    assert warnings == []
    monkeypatch.setattr(writer, "open_file", lambda path: Path("/dev/full").open("wb"))  # noqa: SIM115
    (guarded,) = open_trackers(WATCHED, tmp_path, 0, warnings.append)
    guarded.write(1, 10, {"train/loss": 1.0})
    guarded.close()
    assert len(warnings) == 1 and "No space left on device" in warnings[0]


def test_tensorboard_without_its_folder_is_left_alone(tmp_path):
    pytest.importorskip("tensorboardX")
    (tmp_path / "tensorboard").write_text("a file", encoding="utf-8")
    warnings = []
    (guarded,) = open_trackers(WATCHED, tmp_path, 0, warnings.append)
    guarded.close()
    assert len(warnings) == 1 and "TensorBoard failed and is left alone" in warnings[0] and "\n" not in warnings[0]


@pytest.mark.slow
def test_a_server_of_weights_and_biases_that_is_not_there_costs_one_line(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    settings = {"MODE": "online", "API_KEY": "0" * 40, "BASE_URL": "http://127.0.0.1:9", "SILENT": "true"}
    for name, value in settings.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    warnings = []
    (guarded,) = open_trackers(override(TINY, {"training.wandb": True}), tmp_path, 0, warnings.append)
    guarded.write(1, 10, {})
    guarded.close()
    assert len(warnings) == 1 and "the run goes on" in warnings[0] and "\n" not in warnings[0]


def events_in(path):
    """The events of a file: each is its length (8 bytes), a checksum (4), itself, and a checksum (4)."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    content, position = path.read_bytes(), 0
    while position < len(content):
        (length,) = struct.unpack_from("<Q", content, position)
        yield event_pb2.Event.FromString(content[position + 12 : position + 12 + length])
        position += 16 + length


def test_tensorboard_holds_each_step_once_after_a_resumption(tmp_path):
    """As TensorBoard reads it: a session's start drops what is at its step or past it."""
    for first, last in ((0, 6), (4, 9)):
        (guarded,) = open_trackers(WATCHED, tmp_path, first, pytest.fail)
        for step in range(first + 1, last + 1):
            guarded.write(step, 64 * step, {"train/loss": step + first / 100})
        guarded.close()
    found = []
    for path in sorted((tmp_path / "tensorboard").iterdir()):
        for event in events_in(path):
            if event.session_log.status:
                found = [(step, value) for step, value in found if step < event.step]
            found += [(event.step, value.simple_value) for value in event.summary.value if value.tag == "train/loss"]
    expected = [1, 2, 3, 4, 5.04, 6.04, 7.04, 8.04, 9.04]
    assert [step for step, _ in found] == list(range(1, 10))
    assert [value for _, value in found] == pytest.approx(expected)


@pytest.mark.slow
def test_a_resumed_run_goes_on_with_its_run_of_weights_and_biases(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name, value in {"MODE": "offline", "SILENT": "true"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    for name in ("DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / name))
    folder = tmp_path / "quickstart" / "gpt" / "seed-0"
    folder.mkdir(parents=True)
    kept = []
    for first, last in ((0, 3), (2, 5)):
        (guarded,) = open_trackers(override(TINY, {"training.wandb": True}), folder, first, pytest.fail)
        for step in range(first + 1, last + 1):
            guarded.write(step, 64 * step, {"train/loss": 1.0})
        guarded.close()
        kept.append((folder / trackers.RUN_ID).read_text(encoding="utf-8").strip())
    assert kept[0] == kept[1] and kept[0]
    written = list((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert {path.name for path in written} == {f"run-{kept[0]}.wandb"}
    assert any(b"train/loss" in path.read_bytes() for path in written)
