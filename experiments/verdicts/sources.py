"""Where a report reads its runs: in run folders, or in published files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from experiments.command import START
from experiments.experiment import SMOKE, Experiment
from experiments.published.file import RESULTS, published_files, read_published
from experiments.runs.results import Result, read_results, unfinished
from gpt_jax.errors import InputError

From = Literal["runs", "published"]


class PilotsAlone(InputError):
    """There are runs, and none that counts."""


@dataclass(frozen=True)
class Runs:
    """The finished runs of one report, `where` they were read, and the runs (arm, seed) that were begun there.

    Seeds before the first of the scale's are pilots: the scale's seeds were chosen when these had been seen. Their runs
    are `pilots` and not `results`. Raises `PilotsAlone` where there are no others.
    """

    experiment: Experiment
    results: list[Result]
    where: Path
    begun: tuple[tuple[str, str], ...] = ()
    pilots: list[Result] = field(init=False)

    def __post_init__(self) -> None:
        first = {name: min(scale.seeds, default=0) for name, scale in self.experiment.scales.items()}
        pilots = [result for result in self.results if result.seed < first.get(result.scale, 0)]
        results = [result for result in self.results if result.seed >= first.get(result.scale, 0)]
        if pilots and not results:
            raise PilotsAlone(f"{self.where}: {_seeds(pilots)} are pilots of {self.experiment.name}: no run counts")
        object.__setattr__(self, "results", results)
        object.__setattr__(self, "pilots", pilots)

    @property
    def findings(self) -> list[str]:
        """What the claim fits to these runs, a line each; none where it fits nothing, or they are too few."""
        if self.experiment.findings is None or self.scale == SMOKE:
            return []
        try:
            return self.experiment.findings(self.results)
        except InputError:
            return []

    @property
    def run_options(self) -> list[tuple[str, ...]]:
        """The words after `run NAME --scale SCALE` by which `run` makes these runs, a call each; () where it makes them
        by itself."""
        fresh = self.experiment.fresh_seeds(self.scale)
        again = self.experiment.fresh_runs(self.scale) if fresh & {result.seed for result in self.results} else ()
        return [self._own_options([result for result in self.results if result.seed not in fresh]), *again]

    def _own_options(self, results: Sequence[Result]) -> tuple[str, ...]:
        """Those of runs of the scale's own seeds and of a second stage."""
        own = self.experiment.scales.get(self.scale)
        seeds = sorted({result.seed for result in results})
        if own is None or own.fixed or set(seeds) <= set(own.seeds):
            return own.run_options if own is not None else ()
        whole = seeds == list(range(seeds[0], seeds[-1] + 1)) and len(
            {(result.arm, result.seed) for result in results}
        ) == len(seeds) * len({result.arm for result in results})
        return ("--seeds", f"{seeds[0]}:{seeds[-1] + 1}") if whole else ("--to-decide",)

    @property
    def on_pilots(self) -> str:
        """A sentence on the pilots; "" where there are none."""
        count, seeds = len(self.pilots), _seeds(self.pilots)
        return f"{count} runs of {seeds} were pilots: they set the seeds that count, and do not count." if count else ""

    @property
    def scale(self) -> str:
        return self.results[0].scale

    @property
    def published(self) -> bool:
        return self.where.suffix == ".jsonl"


Reader = Callable[[Experiment, Path], Runs]


def _seeds(results: Sequence[Result]) -> str:
    return f"seeds {', '.join(str(seed) for seed in sorted({result.seed for result in results}))}"


def in_folder(experiment: Experiment, folder: Path) -> Runs:
    """The runs of DIR/EXPERIMENT. Raises `InputError` where none is finished."""
    results = read_results(folder, experiment)
    if not results:
        raise InputError(f"{folder}: no finished run (result.json): nothing to report on {experiment.name}")
    begun = ((path.parent.name, path.name.removeprefix("seed-")) for path in unfinished(folder))
    return Runs(experiment, results, folder, tuple(begun))


def in_file(experiment: Experiment, path: Path) -> Runs:
    """The runs of results/CLAIM/SCALE.jsonl. Raises `InputError` where there are none."""
    results = read_published(path, experiment)
    if not results:
        raise InputError(f"{path}: no line: nothing to report on {experiment.name}")
    return Runs(experiment, results, path)


def if_any(experiment: Experiment, out: Path, root: Path | None = None, chosen: From | None = None) -> list[Runs]:
    """The runs of an experiment: of its folder in `out` if one is finished there, else the published ones, by scale.

    `chosen` takes the one or the other. None that count give an empty list. Raises `InputError` on damaged ones.
    """
    read, places = _where(experiment, out, root, chosen)
    return counting(read, experiment, places)


def counting(read: Reader, experiment: Experiment, places: Sequence[Path]) -> list[Runs]:
    """What `read` (`in_file`, `in_folder`) finds in each of the places, without those that hold pilots alone."""
    found = []
    for place in places:
        with suppress(PilotsAlone):
            found.append(read(experiment, place))
    return found


def _where(experiment: Experiment, out: Path, root: Path | None, chosen: From | None) -> tuple[Reader, list[Path]]:
    """How the runs of an experiment are read, and from which folder or files."""
    folder = out / experiment.name
    if chosen != "published" and any(folder.glob("*/seed-*/result.json")):
        return in_folder, [folder]
    return in_file, [] if chosen == "runs" else published_files(experiment.name, root or RESULTS)


def found(experiment: Experiment, out: Path, root: Path | None = None, chosen: From | None = None) -> list[Runs]:
    """`if_any`. Raises `InputError` where there are none."""
    runs = if_any(experiment, out, root, chosen)
    if not runs:
        read, pilots = _where(experiment, out, root, chosen)
        for place in pilots:
            read(experiment, place)  # raises, and says which runs these are
        places = {"runs": f"{out / experiment.name}", "published": f"{root or RESULTS}"}
        looked = [place for kind, place in places.items() if chosen in (None, kind)]
        raise InputError(
            f"{experiment.name}: no finished run in {' or '.join(looked)}: {START} run {experiment.name} comes first, "
            "or give --out"
        )
    return runs
