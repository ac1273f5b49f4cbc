"""`results/reruns.jsonl`: published runs that were made again, and what came of it; a line each, sorted by the run."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.published.compare import Compared
from experiments.published.file import held
from experiments.published.line import Published
from gpt_jax.disk import read_jsonl, write_atomically
from gpt_jax.errors import InputError

FILE = "reruns.jsonl"


@dataclass(frozen=True)
class Rerun:
    """A published run that was made again at `commit`, whole: `compared` says what came of it.

    `log_digest` is the published run's: a line that other numbers have taken the place of was not made again.
    `largest` is the largest difference as a part of its value (of 1, where the value is smaller); None where figures
    are missing.
    """

    claim: str
    scale: str
    arm: str
    seed: int
    log_digest: str
    commit: str
    processor: str | None
    figures: int
    equal: bool
    holds: bool
    largest: float | None
    first: str
    differs: tuple[str, ...]

    @classmethod
    def of(cls, was: Published, compared: Compared, environment: dict[str, Any]) -> Rerun:
        """`environment` is the second run's."""
        return cls(
            was.claim,
            was.scale,
            was.arm,
            was.seed,
            was.log_digest,
            environment["commit"],
            environment.get("processor"),
            compared.figures,
            compared.equal,
            compared.holds,
            compared.largest if math.isfinite(compared.largest) else None,
            compared.first or next(iter((*compared.metrics, *compared.digests)), ""),
            compared.differs,
        )

    @property
    def place(self) -> tuple[str, str, str, int]:
        return self.claim, self.scale, self.arm, self.seed


def require_clean(environment: dict[str, Any]) -> None:
    """Raises `InputError` unless the checkout is of a commit, and has no changes beside it."""
    if environment.get("commit") is None or environment.get("dirty") is not False:
        raise InputError("--record: not allowed with changes that are in no commit: commit them first")


def read_reruns(root: Path) -> list[Rerun]:
    """The reruns of a folder of results; none where it has no such file. Raises `InputError` on a damaged line."""
    path, names, found = root / FILE, {field.name for field in dataclasses.fields(Rerun)}, []
    for where, values in read_jsonl(path) if path.exists() else ():
        if not isinstance(values, dict) or set(values) != names:
            raise InputError(f"{where}: is no rerun of a published run: its keys must be {', '.join(sorted(names))}")
        found.append(Rerun(**{**values, "differs": tuple(values["differs"])}))
    return found


def record(root: Path, new: Rerun) -> None:
    """Adds a rerun; it takes the place of an earlier one of the same run. Of two at once, none is lost."""
    with held(root / FILE):
        runs = {run.place: run for run in [*read_reruns(root), new]}
        lines = [json.dumps(dataclasses.asdict(runs[place]), sort_keys=True) for place in sorted(runs)]
        write_atomically(root / FILE, "".join(line + "\n" for line in lines))


def of_lines(reruns: Iterable[Rerun], lines: Iterable[Published]) -> list[Rerun]:
    """The reruns of these published runs, as they are now."""
    known = {(line.claim, line.scale, line.arm, line.seed, line.log_digest) for line in lines}
    return [run for run in reruns if (*run.place, run.log_digest) in known]
