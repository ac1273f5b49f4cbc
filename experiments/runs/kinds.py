"""The two kinds of run, pre-training and fine-tuning, share one interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from experiments.experiment import FinishedRun, RunIdentity
from experiments.runs.screen import Screen
from gpt_jax.config import RunConfig

Metrics = dict[str, Any]


class Interrupted(Exception):
    """A run was asked to stop, and did. The text says where it stopped and what it keeps."""


class Lane(Protocol):
    """A run's place among runs that train together as one program (sweep/together.py)."""

    @property
    def devices(self) -> Sequence[Any]:
        """Those that hold the run."""
        ...

    @property
    def how(self) -> dict[str, Any]:
        """How the run is made, as JSON values."""
        ...

    def stepper(
        self, settings: Any, make: Callable[[Any], Callable[..., Any]], constants: Any = (), scalars: Sequence[str] = ()
    ) -> Callable[..., Any]:
        """The run's step, `(state, *given) -> (state, metrics)`, where `given` is on the host.

        `make(settings)` is a function `(state, constants, *given) -> (state, metrics)`, and `constants` are arrays that
        no step changes. Numbers in the settings may be traced: the optimizer's decay, the model's dropout rates, and
        those that `scalars` names.
        """
        ...


@dataclass(frozen=True)
class Run:
    """What a run is asked to do. The arguments of `runner.run` say what each field means."""

    config: RunConfig
    folder: Path
    identity: RunIdentity
    data_dir: Path | None
    screen: Screen
    divergence_is_outcome: bool
    evaluate: Callable[[FinishedRun], Metrics] | None
    resume_command: str
    should_stop: Callable[[], bool]
    profile: int = 0
    lane: Lane | None = None  # None: the run trains alone


class Materials(Protocol):
    """What a run learns from, ready to be read."""

    @property
    def digest(self) -> str: ...


class Kind(Protocol):
    """One kind of run. All of its methods raise `InputError` on wrong use."""

    files: tuple[str, ...]  # what a finished run's folder has beside what every folder has

    def tokens(self, config: RunConfig) -> int:
        """The tokens that a run trains on, or 0 if only its data tells."""
        ...

    def origins(self, config: RunConfig, data_dir: Path | None) -> dict[str, str]:
        """Digests of what the run starts from, as it is now: "source_digest" of the data, which is read and not
        prepared, and "weights_digest" of weights that are there."""
        ...

    def check(self, run: Run) -> None:
        """Refuses what the config shows to be impossible."""
        ...

    def gather(self, run: Run) -> Any:
        """Reads and prepares what the run learns from (`Materials`)."""
        ...

    def check_materials(self, run: Run, materials: Any) -> None:
        """Refuses what the data and the disk show to be impossible."""
        ...

    def train(self, run: Run, materials: Any) -> Metrics:
        """Trains, writes the kind's own files and returns the metrics. Raises `Interrupted`, `TrainingDiverged`."""
        ...

    def summary(self, run: Run, materials: Any, metrics: Metrics) -> dict[str, str]:
        """The result of a finished run, in words."""
        ...

    def wrong_lines(self, config: RunConfig, path: Path, lines: list[dict[str, Any]]) -> list[str]:
        """What is wrong with the lines of `metrics.jsonl`, a text each."""
        ...

    def wrong_weights(self, config: RunConfig, folder: Path) -> list[str]:
        """What is wrong with the weights that the folder keeps, a text each."""
        ...

    def final_parameters(self, config: RunConfig, folder: Path) -> Any:
        """The parameters that a finished run ended with; None where its folder no longer has them."""
        ...


def kind_of(config: RunConfig) -> Kind:
    """The kind of run that `config` describes. Each is imported where it is used."""
    return import_module(f"experiments.runs.{config.kind}.kind").KIND
