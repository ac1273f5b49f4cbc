"""A sweep is the runs of one command. A member is one of them: what it is asked to do, and what came of it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments import experiment as experiments
from experiments.command import resume_command
from experiments.experiment import FINETUNE, TRAIN, Experiment, RunIdentity
from gpt_jax.config import RunConfig
from gpt_jax.errors import InputError, TrainingDiverged


@dataclass(frozen=True)
class Member:
    """One run of a sweep. Another process can be given it."""

    identity: RunIdentity
    config: RunConfig
    out: Path
    data_dir: Path | None = None

    @property
    def folder(self) -> Path:
        return self.out / self.identity.experiment / self.identity.arm / f"seed-{self.identity.seed}"

    @property
    def name(self) -> str:
        return f"{self.identity.arm} seed {self.identity.seed}"

    @property
    def finished(self) -> bool:
        return (self.folder / "result.json").exists()

    @property
    def again(self) -> str:
        """The command that goes on with this run alone."""
        return resume_command(self.folder, self.data_dir)


@dataclass(frozen=True)
class Outcome:
    """What came of a run. "wrong" is wrong use, and "full" a disk without room; `line` says why in one line."""

    kind: Literal["done", "stopped", "failed", "wrong", "full"]
    line: str = ""
    details: str = ""  # the traceback of what nobody expected


def members(
    e: Experiment, scale: str, configs: Mapping[tuple[str, int], RunConfig], out: Path, data_dir: Path | None
) -> list[Member]:
    """The runs of an experiment, in the order of `configs`."""
    return [
        Member(RunIdentity(e.name, arm, seed, scale), config, out, data_dir) for (arm, seed), config in configs.items()
    ]


def carry_out(member: Member, *, rules: Experiment | None = None, **options: Any) -> Outcome:
    """Makes a run (`runner.run`, which takes `options`) and says what came of it. Raises nothing that a run raises.

    `rules` is the run's experiment; None: it is looked up by its name.
    """
    from experiments.runs import runner
    from experiments.runs.full_disk import DiskFull

    try:
        runner.run(
            member.config,
            member.folder,
            member.identity,
            data_dir=member.data_dir,
            resume_command=member.again,
            **rules_of(member.identity, rules),
            **options,
        )
    except runner.Interrupted as stopped:
        return Outcome("stopped", str(stopped))
    except DiskFull as full:
        return Outcome("full", str(full))
    except InputError as error:
        return Outcome("wrong", str(error))
    except TrainingDiverged as error:
        return Outcome("failed", str(error))
    except Exception as error:  # out of memory, a bug: the other runs go on
        return Outcome("failed", f"{type(error).__name__}: {str(error).partition(chr(10))[0]}", traceback.format_exc())
    return Outcome("done")


def rules_of(identity: RunIdentity, e: Experiment | None = None) -> dict[str, Callable | bool | None]:
    """What an experiment adds to its runs: its own measurements, and whether divergence is an outcome."""
    if e is None and identity.experiment not in (FINETUNE, TRAIN):
        e = experiments.load(identity.experiment)
    return {} if e is None else {"divergence_is_outcome": e.divergence_is_outcome, "evaluate": e.evaluate}
