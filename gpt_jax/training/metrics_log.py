"""The log of a run: one line of JSON for each measurement."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpt_jax.disk import parse_jsonl, read_jsonl, write_atomically
from gpt_jax.errors import InputError
from gpt_jax.training.trackers import Tracker


class MetricsLog:
    """`metrics.jsonl`. Each line is an object with `step` and `tokens`. Clock figures are named `time/...`.

    Opening at a step drops the lines past this step, so that a resumed file equals an uninterrupted one, except for the
    clocks. A line that a crash or a power cut left half-written is dropped too. Not-a-number and infinity are written
    as null. Each line also goes to the trackers, which never raise (`trackers.Guarded`).

    Raises:
      InputError: a damaged line that whole ones follow.
    """

    def __init__(self, path: Path, step: int = 0, trackers: Sequence[Tracker] = ()):
        kept = [line for line in _begun(path) if isinstance(line.get("step"), int) and line["step"] <= step]
        write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._path, self._file = path, path.open("a", encoding="utf-8")
        self._trackers = tuple(trackers)

    def write(self, step: int, tokens: int, values: dict[str, Any]) -> None:
        finite = {k: v if math.isfinite(v) else None for k, v in values.items()}
        self._file.write(json.dumps({"step": step, "tokens": tokens, **finite}) + "\n")
        self._file.flush()
        for tracker in self._trackers:
            tracker.write(step, tokens, values)

    def lines(self) -> list[dict[str, Any]]:
        """All lines so far."""
        return [line for _, line in read_jsonl(self._path)]

    def sync(self) -> None:
        """Everything written so far is on disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
        for tracker in self._trackers:
            tracker.close()


def _begun(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that a process may have died over while it wrote: without a damaged end. None: no lines.

    Raises:
      InputError: a damaged line that whole ones follow.
    """
    whole: list[dict[str, Any]] = []
    damage: InputError | None = None
    for number, line in enumerate(path.read_bytes().split(b"\n") if path.exists() else [], 1):
        try:
            values = [value for _, value in parse_jsonl(line.decode(errors="replace"), f"{path}: line {number}")]
        except InputError as error:
            damage = damage or error
            continue
        if values and damage is not None:
            raise damage
        whole += values
    return whole
