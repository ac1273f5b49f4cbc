"""One run turns a config and a folder into a trained model, its pictures and `result.json`.

Everything that a run writes is in its folder, and `result.json` is written last. A folder without it is partial, and is
resumed. A folder with it is finished, and is skipped. A folder of another config, or of other data, is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.experiment import FinishedRun, RunIdentity
from experiments.runs import pictures
from experiments.runs.environment import in_words, made
from experiments.runs.folder import claim, held, left_blank, note_how, read_folder, result_of
from experiments.runs.full_disk import named_when_full
from experiments.runs.kinds import Interrupted, Kind, Lane, Run, kind_of
from experiments.runs.preflight import check_writable
from experiments.runs.screen import Screen
from gpt_jax.config import RunConfig, digest
from gpt_jax.disk import keep_compiled_programs, write_atomically
from gpt_jax.errors import InputError
from gpt_jax.parallel.hosts import is_writer, naming_the_lost

Metrics = dict[str, Any]
__all__ = ["Interrupted", "RunIdentity", "read_folder", "run"]


def run(
    config: RunConfig,
    folder: Path,
    identity: RunIdentity,
    *,
    data_dir: Path | None = None,
    console: Console | None = None,
    screen: Screen | None = None,
    divergence_is_outcome: bool = False,
    evaluate: Callable[[FinishedRun], Metrics] | None = None,
    resume_command: str = "",
    should_stop: Callable[[], bool] = lambda: False,
    profile: int = 0,
    way: str = "serial",
    lane: Lane | None = None,
) -> Metrics:
    """Trains as `config` says and returns what `result.json` holds. A finished run is not trained again.

    Continues from the newest readable checkpoint. One process at a time writes a folder. What can be known to fail is
    refused before the first step. `profile` steps are recorded (profiling/recording.py). What is shown goes to
    `screen`, or else to `console`. `way` is the word by which the folder says how the run is made (sweep/ways.py).
    `lane` is the run's place among runs that train together (sweep/together.py).

    Raises:
      InputError: the folder is another config's, other data's or another process's; bad data; no room.
      TrainingDiverged: unless that is an outcome.
      DiskFull: there is no room for what has to be written.
      Interrupted: `should_stop()` was true.
    """
    wanted = Run(
        config,
        folder,
        identity,
        data_dir,
        screen or Screen(console),
        divergence_is_outcome,
        evaluate,
        resume_command,
        should_stop,
        profile,
        lane,
    )
    kind = kind_of(config)
    with ExitStack() as opened:
        opened.enter_context(named_when_full(folder))
        opened.enter_context(naming_the_lost())
        finished = result_of(folder, config)
        if finished is not None:
            _compare_data(kind, wanted, finished)
            return finished
        keep_compiled_programs()
        kind.check(wanted)
        if is_writer() and folder.is_dir():
            _open_folder(opened, wanted)
        materials = kind.gather(wanted)
        kind.check_materials(wanted, materials)
        origins = kind.origins(config, data_dir)
        if is_writer():
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                _open_folder(opened, wanted)
            claim(folder, config, identity)
        how = made(way) if lane is None else lane.how
        wanted.screen.say(f"made {in_words(how)}")
        before = note_how(folder, how) if is_writer() else []
        metrics = kind.train(wanted, materials)
        result = {
            **vars(identity),
            "metrics": metrics,
            "config_digest": digest(config),
            "data_digest": materials.digest,
            **origins,
            "how": {**how, "before": before} if before else how,
        }
        if is_writer():
            pictures.loss_curve(folder / "metrics.jsonl", folder / "loss.png")
            write_atomically(folder / "result.json", json.dumps(result, indent=2) + "\n")
        wanted.screen.table("result", kind.summary(wanted, materials, metrics))
        return result


def _open_folder(opened: ExitStack, wanted: Run) -> None:
    """Has this process be the one that writes the run's folder. Raises `InputError` where it cannot."""
    check_writable(wanted.folder)
    opened.enter_context(held(wanted.folder))
    if left_blank(wanted.folder / "result.json"):
        wanted.screen.warn(f"{wanted.folder / 'result.json'} is empty, as after a power cut: the run goes on")


def _compare_data(kind: Kind, wanted: Run, result: Metrics) -> None:
    """Refuses a finished run whose data or weights have changed since.

    Data that is not to be found where nothing says where it is, and runs of versions that kept no digest of their
    source, are not compared, and the line that is printed says so.
    """
    remark = ""
    try:
        now = kind.origins(wanted.config, wanted.data_dir)
    except InputError:
        if wanted.data_dir is not None:
            raise
        now, remark = {}, " (its data was not found, and is not compared)"
    if "source_digest" not in result:
        remark = " (it kept no digest of its source, which is not compared)"
    for name, digest_now in now.items():
        if result.get(name, digest_now) != digest_now:
            what = "data" if name == "source_digest" else f"finetuning.weights {wanted.config.finetuning.weights}"
            raise InputError(
                f"{wanted.folder} is finished, on {what} of digest {result[name]}; now it is {digest_now}: only the "
                "same is allowed: choose another --out, or remove the folder"
            )
    wanted.screen.say(f"{wanted.folder} is finished: nothing to do{remark}")
