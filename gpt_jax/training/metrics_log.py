"""What a run says of itself: a line of JSON for each measurement."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any


class MetricsLog:
    """`metrics.jsonl`: each line an object with `step` and `tokens`; clock figures are named `time/...`.

    Opening at a step drops the lines past it, so that a resumed file equals an uninterrupted one in all but the
    clocks. Not-a-number and infinity are written as null. `tensorboard` mirrors the numbers to event files.
    """

    def __init__(self, path: Path, step: int = 0, tensorboard: Path | None = None):
        kept = [line for line in read_metrics(path) if line["step"] <= step] if path.exists() else []
        partial = path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        partial.replace(path)
        self._path, self._file = path, path.open("a", encoding="utf-8")
        self._tensorboard = _tensorboard_writer(tensorboard) if tensorboard else None

    def write(self, step: int, tokens: int, values: dict[str, Any]) -> None:
        finite = {k: v if math.isfinite(v) else None for k, v in values.items()}
        self._file.write(json.dumps({"step": step, "tokens": tokens, **finite}) + "\n")
        self._file.flush()
        if self._tensorboard is not None:
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, step)

    def lines(self) -> list[dict[str, Any]]:
        """All lines so far."""
        return read_metrics(self._path)

    def sync(self) -> None:
        """Everything written so far is on disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`; a last line that was cut short by a crash is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def _tensorboard_writer(folder: Path):
    from gpt_jax.errors import InputError

    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise InputError("training.tensorboard: true needs a package: pip install 'gpt-jax[tensorboard]'") from None
    return SummaryWriter(str(folder))
