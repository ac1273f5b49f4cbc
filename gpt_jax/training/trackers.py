"""Where a run's numbers can be watched beside `metrics.jsonl`: TensorBoard, and Weights & Biases.

A tracker is a guest in a run. `Guarded` gives each a thread of its own, so that one that fails, fills its disk or hangs
costs the run a line of warning and nothing else.
"""

from __future__ import annotations

import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from gpt_jax.config import RunConfig, TrainingConfig, to_dict
from gpt_jax.disk import write_atomically
from gpt_jax.errors import InputError

PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}  # field of TrainingConfig, and extra -> module
RUN_ID = "wandb-run-id.txt"  # in the run folder
MOST_WAITING = 10_000  # lines that a tracker may lag behind
FLUSH_SECONDS = 10.0
CONNECTING_SECONDS = 30.0  # that W&B tries to reach its server
ASKING_SECONDS = 1.0  # that W&B waits for a key to be typed: `wandb login` is where to type it


class Tracker(Protocol):
    """Gets each line of the metrics. Both methods may raise anything."""

    def write(self, step: int, tokens: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class Guarded:
    """A tracker that never ends a run, never holds one up, and never raises.

    A thread makes the tracker with `make()`, which may wait for a network, and writes to it. Once the tracker fails, or
    lags `MOST_WAITING` lines behind, `warn` gets one line and the tracker is left alone. `close` waits `patience`
    seconds for what is unwritten.
    """

    def __init__(self, name: str, make: Callable[[], Tracker], warn: Callable[[str], None], patience: float = 60.0):
        self._name, self._warn, self._patience = name, warn, patience
        self._waiting: queue.Queue[tuple[int, int, dict[str, float]] | None] = queue.Queue(MOST_WAITING)
        self._failure: str | None = None
        self._thread: threading.Thread | None = threading.Thread(
            target=self._work, args=(make,), name=f"tracker: {name}", daemon=True
        )
        self._thread.start()

    def write(self, step: int, tokens: int, values: Mapping[str, float]) -> None:
        if self._alive():
            try:
                self._waiting.put_nowait((step, tokens, dict(values)))
            except queue.Full:
                self._leave_alone(f"it is {MOST_WAITING:,} lines behind")

    def close(self) -> None:
        if not self._alive() or self._thread is None:
            return
        until = time.monotonic() + self._patience
        with suppress(queue.Full):
            self._waiting.put(None, timeout=self._patience)
            self._thread.join(max(until - time.monotonic(), 0))
        if self._alive() and self._thread.is_alive():
            self._leave_alone(f"it did not end within {self._patience:g} s")
        self._thread = None

    def _alive(self) -> bool:
        """Whether the tracker is still written to. Warns if it has failed since the last look."""
        if self._thread is not None and self._failure is not None:
            self._leave_alone(self._failure)
        return self._thread is not None

    def _leave_alone(self, why: str) -> None:
        self._thread = None
        self._warn(f"{self._name} failed and is left alone, the run goes on: {why}")

    def _work(self, make: Callable[[], Tracker]) -> None:
        tracker: Tracker | None = None
        try:
            tracker = make()
            while (line := self._waiting.get()) is not None:
                tracker.write(*line)
            tracker.close()
        except BaseException as error:  # nothing but the tracker runs here, SystemExit is its own too
            self._failure = _told(error)
            with suppress(BaseException):
                if tracker is not None:
                    tracker.close()


class TensorBoard:
    """Event files in `folder`; what an earlier session wrote past `step` is marked as superseded.

    tensorboardX's `SummaryWriter` is not used: its thread dies unseen on a full disk, and its callers then wait for it.
    """

    def __init__(self, folder: Path, step: int):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2
        from tensorboardX.summary import scalar

        folder.mkdir(parents=True, exist_ok=True)
        protos: Any = event_pb2  # its classes are made when it is imported
        self._event, self._scalar = protos.Event, scalar
        count = len(list(folder.iterdir()))  # names hold the second, in which another session may have begun
        self._writer = EventsWriter(str(folder / "events"), f".{count}")
        start = protos.SessionLog(status=protos.SessionLog.START)
        self._writer.write_event(self._event(wall_time=time.time(), step=step + 1, session_log=start))
        self._flush()

    def write(self, step: int, tokens: int, values: Mapping[str, float]) -> None:
        for name, value in {"tokens": tokens, **values}.items():
            self._writer.write_event(self._event(wall_time=time.time(), step=step, summary=self._scalar(name, value)))
        if time.monotonic() > self._flushed + FLUSH_SECONDS:
            self._flush()

    def close(self) -> None:
        self._writer.close()

    def _flush(self) -> None:
        self._writer.flush()
        self._flushed = time.monotonic()


class WeightsAndBiases:
    """One W&B run for a run folder, resumed by the identifier that the folder keeps.

    W&B's own variables hold: WANDB_MODE=offline needs no network, and WANDB_PROJECT is "gpt-jax" unless it is set. W&B
    keeps the first line of a step, so that the steps a resumed run repeats are there once.
    """

    def __init__(self, folder: Path, config: RunConfig):
        import wandb

        path = folder / RUN_ID
        identifier = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        if not identifier:
            identifier = secrets.token_hex(4)
            write_atomically(path, identifier + "\n")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "gpt-jax"),
            name="/".join(folder.parts[-3:]),
            id=identifier,
            resume="allow",
            dir=str(folder),
            config=to_dict(config),
            reinit="create_new",
            settings=wandb.Settings(console="off", login_timeout=ASKING_SECONDS, init_timeout=CONNECTING_SECONDS),
        )

    def write(self, step: int, tokens: int, values: Mapping[str, float]) -> None:
        self._run.log({"tokens": tokens, **values}, step=step)

    def close(self) -> None:
        self._run.finish()


def check_installed(training: TrainingConfig) -> None:
    """Raises `InputError` where a tracker that is asked for needs a package that is not there."""
    for field, module in PACKAGES.items():
        if getattr(training, field) and find_spec(module) is None:
            raise InputError(f"training.{field}: true needs a package: pip install 'gpt-jax[{field}]'")


def open_trackers(config: RunConfig, folder: Path, step: int, warn: Callable[[str], None]) -> list[Tracker]:
    """The trackers that `config.training` asks for, guarded, of a run that goes on after `step` in `folder`."""
    trackers: list[Tracker] = []
    if config.training.tensorboard:
        trackers.append(Guarded("TensorBoard", partial(TensorBoard, folder / "tensorboard", step), warn))
    if config.training.wandb:
        trackers.append(Guarded("Weights & Biases", partial(WeightsAndBiases, folder, config), warn))
    return trackers


def _told(error: BaseException) -> str:
    """An error as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
