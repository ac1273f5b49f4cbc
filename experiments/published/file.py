"""`results/CLAIM/SCALE.jsonl`: the published runs of a claim at one scale, a line each, sorted by arm and seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from experiments.experiment import Experiment, RunIdentity
from experiments.published.line import Published, parsed
from experiments.runs.results import COMPUTED, Result, collected
from gpt_jax.config import RunConfig, differences
from gpt_jax.disk import cache_root, digest_of, lock, read_jsonl, write_atomically
from gpt_jax.errors import InputError

RESULTS = Path(__file__).parents[2] / "results"  # of the checkout


def path_of(claim: str, scale: str, root: Path = RESULTS) -> Path:
    return root / claim / f"{scale}.jsonl"


def published_files(claim: str, root: Path = RESULTS) -> list[Path]:
    """The files of a claim, by scale."""
    return sorted((root / claim).glob("*.jsonl"))


def read_lines(path: Path) -> dict[str, Published]:
    """Where ("FILE:LINE") -> the run. Raises `InputError` on a damaged line, a run twice, and a run of another file."""
    lines, places = {}, {}
    for where, values in read_jsonl(path):
        run = parsed(values, where)
        if path.name != f"{run.scale}.jsonl" or path.parent.name != run.claim:
            raise InputError(f"{where}: is of {run.claim} at {run.scale}: {run.claim}/{run.scale}.jsonl holds that")
        if run.place in places:
            raise InputError(f"{where}: {run.arm} seed {run.seed} stands in {places[run.place]} already: once is right")
        lines[where] = run
        places[run.place] = where
    return lines


def read_published(path: Path, experiment: Experiment) -> list[Result]:
    """The published runs of a file as one report reads them. Raises `InputError`."""
    return as_results(read_lines(path), experiment)


def as_results(lines: Mapping[str, Published], experiment: Experiment) -> list[Result]:
    """What `read_lines` gave as one report reads it. Raises `InputError`."""
    return collected([run.result(where) for where, run in lines.items()], experiment)


def write_lines(path: Path, runs: Iterable[Published]) -> None:
    """Writes a file whole. The same runs give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted(runs, key=lambda run: run.place)
    write_atomically(path, "".join(run.text() + "\n" for run in ordered))


@contextmanager
def held(path: Path) -> Iterator[None]:
    """A file of results, for this process alone, which reads it and then writes it. A second process waits."""
    with lock(cache_root(), f"results-{digest_of(str(path.resolve()))}"):
        yield


def add(path: Path, new: Sequence[Published], experiment: Experiment) -> tuple[list[Published], list[str]]:
    """Writes these runs among those of a file (`merged`). Of two processes that add at once, none loses a line."""
    with held(path):
        old = list(read_lines(path).values()) if path.exists() else []
        lines, remarks = merged(old, new, experiment)
        write_lines(path, lines)
    return lines, remarks


def merged(
    old: Sequence[Published], new: Sequence[Published], experiment: Experiment
) -> tuple[list[Published], list[str]]:
    """The file's runs after `new` ones are published, and a line of text for each that did not simply join them.

    - A run that gives a published run's numbers again, bit for bit, changes nothing: the line keeps its commit.
    - A run of the same arm and seed with other numbers takes the line's place, under its own commit.
    - A line of another config than the claim's is dropped once the arm or another one is published anew: the two
      would be in no report together.
    """
    runs, remarks = {}, []
    for run in old:
        changed = differences_from_claim(run.run_config(), run.identity, experiment) if new else []
        if changed:
            remarks.append(f"{run.arm} seed {run.seed}: leaves: {changed[0]} is no longer so in the claim")
        else:
            runs[run.place] = run
    for run in new:
        before = runs.get(run.place)
        if before is not None and before.numbers() == run.numbers():
            remarks.append(f"{run.arm} seed {run.seed}: the numbers of {before.commit[:7]} again: its line stays")
            continue
        if before is not None:
            remarks.append(f"{run.arm} seed {run.seed}: {run.commit[:7]} takes the place of {before.commit[:7]}")
        runs[run.place] = run
    return list(runs.values()), remarks


def differences_from_claim(config: RunConfig, identity: RunIdentity, experiment: Experiment) -> list[str]:
    """What differs between a run's config and the claim's, as "KEY is A, not B"; how numbers are computed apart.

    Raises `InputError` on an arm or a scale that the claim does not have.
    """
    found = differences(config, experiment.config(identity.arm, identity.scale, identity.seed))
    return [f"{key} is {a!r}, not {b!r}" for key, (a, b) in found.items() if key not in COMPUTED]
