"""Makes a recorded run again, from its folder or from a published line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments import experiment as experiments
from experiments.command import typed
from experiments.corpora.catalogue import fetched, require_tests
from experiments.published.line import Published, curves, environment_of, log_digest, published_run
from experiments.runs import runner
from experiments.runs.results import COMPUTED
from experiments.runs.screen import Screen
from experiments.runs.starts import missing
from experiments.runs.sweep.member import rules_of
from gpt_jax.config import RunConfig, flatten, override, to_dict
from gpt_jax.disk import parse_json, read_json, read_jsonl
from gpt_jax.errors import InputError

EVERY_POINT = 1 << 60


def cores_of(how: Sequence[Mapping[str, Any]]) -> int | None:
    """The cores of a run that was made in one way; None where that is not known."""
    return how[0].get("cores") if len(how) == 1 else None


def recorded(folder: Path) -> Published:
    """A finished run's folder as a published run with every point of its curves. Raises `InputError`."""
    if not (folder / "result.json").exists():
        raise InputError(f"{folder} is not finished: `resume` goes on with it; a finished run can be made again")
    return published_run(folder, most=EVERY_POINT)


def rerun(was: Published, out: Path, data_dir: Path | None, screen: Screen, steps: int | None = None) -> Published:
    """Makes a run again in `out`, and returns it with every point of its curves; with `steps`, only so far.

    Raises `InputError`; and `TrainingDiverged` where the claim does not count that as an outcome.
    """
    config, identity = as_now(was), was.identity
    check_start(config, identity.experiment, identity.scale)
    if identity.experiment in experiments.names():
        claim = experiments.load(identity.experiment)
        require_tests(claim, identity.scale)
        if data_dir is None:
            data_dir = fetched(claim.name, claim.data, config.data.source)
    folder = out / identity.experiment / identity.arm / f"seed-{identity.seed}"

    def far_enough() -> bool:
        return steps is not None and last_step(folder) >= steps

    with suppress(runner.Interrupted):
        rules: dict[str, Any] = {**rules_of(identity)}
        runner.run(config, folder, identity, data_dir=data_dir, screen=screen, should_stop=far_enough, **rules)
    if steps is None:
        again = published_run(folder, most=EVERY_POINT)
        return replace(again, config_digest=was.config_digest)  # but for how numbers are computed, it is that config
    lines = [line for _, line in read_jsonl(folder / "metrics.jsonl")]
    kept = read_json(folder / "environment.json", dict)
    again = {"environment": environment_of(kept), "how": kept.get("how", was.how)}
    return replace(was, curves=curves(lines, EVERY_POINT), log_digest=log_digest(lines), **again)


def check_start(config: RunConfig, name: str, scale: str) -> None:
    """Raises `InputError` that says how to make the model a claim's run starts from, where that model is missing."""
    if name in (experiments.FINETUNE, experiments.TRAIN):
        return
    for start in missing(experiments.load(name), scale, [config]):
        raise InputError(
            f"finetuning.weights: {start.folder} is missing here: {typed('run', start.claim, '--scale', start.scale)} "
            f"--only {start.arm} --seeds {start.seed} makes it, and the run that starts from it can be made again then"
        )


def as_now(was: Published) -> RunConfig:
    """The run's config, where numbers are computed as the claim has it now: an earlier way may be gone."""
    config, identity = was.run_config(), was.identity
    if identity.experiment in (experiments.FINETUNE, experiments.TRAIN):
        return config
    e = experiments.load(identity.experiment)
    now = flatten(to_dict(e.config(identity.arm, identity.scale, identity.seed)))
    return override(config, {key: now[key] for key in COMPUTED})


def last_step(folder: Path) -> int:
    """The last step that a run has logged; 0 before the first."""
    path = folder / "metrics.jsonl"
    whole = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return max((parse_json(line.decode(), str(path))["step"] for line in whole[-2:] if line.endswith(b"\n")), default=0)
