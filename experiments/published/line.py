"""A published run: one line of JSON with all that a verdict on it, a page about it and a second run of it need."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.experiment import RunIdentity
from experiments.runs.folder import read_folder
from experiments.runs.kinds import kind_of
from experiments.runs.pretraining.samples import read_samples
from experiments.runs.results import Curve, Result, curve_of, read_result
from gpt_jax.config import RunConfig, differences, digest, flatten, override, to_dict
from gpt_jax.disk import digest_of, read_json, read_jsonl
from gpt_jax.errors import InputError

MOST_POINTS, FIRST_POINTS = 60, 10  # of a curve: the first that were logged, and others at equal distances to the last
LEFT_OUT = ("step", "tokens", "learning_rate", "gradient_norm")  # no curves: the config tells the first three
CLOCKS = "time/"
SAMPLE_CHARACTERS = 400
COLUMNS = tuple(field.name for field in dataclasses.fields(Curve))


@dataclass(frozen=True)
class Published:
    """One run. Numbers are written so that reading them gives the same bits (the shortest such decimal).

    - `config` holds what differs from `RunConfig()`, dotted, and `config_digest` is its digest.
    - `outcome` is "finished", or "diverged", which is a failure that counts.
    - `how` says how the run was made: a `way` ("serial", or "jobs" beside others) and a number of `cores` for each
      session that made a part of it.
    - `environment` is what the run's environment.json has beside the commit.
    - `log_digest` is of all that the run logged, clocks apart; `curves` are a part of that.
    - `parameters_digest` is of the parameters after the last step.

    `source_digest` is of the data as it was read, `data_digest` of what was made of it, and `weights_digest` of the
    weights that a fine-tuning starts from. None stands for what is not known, or is not there.
    """

    claim: str
    scale: str
    arm: str
    seed: int
    outcome: str
    metrics: dict[str, Any]
    curves: dict[str, dict[str, list]]  # metric -> {"step": [...], "tokens": [...], "value": [...]}
    config: dict[str, Any]
    config_digest: str
    data_digest: str
    source_digest: str | None
    weights_digest: str | None
    log_digest: str
    parameters_digest: str | None
    commit: str
    environment: dict[str, Any]
    how: list[dict[str, Any]]
    tokens: int | None
    flops: float | None
    seconds: float | None
    sample: str

    @property
    def identity(self) -> RunIdentity:
        return RunIdentity(self.claim, self.arm, self.seed, self.scale)

    @property
    def place(self) -> tuple[str, int]:
        """What names a line in its file."""
        return self.arm, self.seed

    def text(self) -> str:
        """The line: keys sorted, without an end of line."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, allow_nan=False, ensure_ascii=False)

    def run_config(self) -> RunConfig:
        """The whole config. Raises `InputError` where this version has no such setting."""
        return self._run_config

    @cached_property
    def _run_config(self) -> RunConfig:
        return override(RunConfig(), self.config)

    def numbers(self) -> dict[str, Any]:
        """What a second run must give again, bit for bit."""
        kept = {key: value for key, value in self.metrics.items() if not key.startswith(CLOCKS)}
        digests = (self.config_digest, self.data_digest, self.log_digest, self.parameters_digest)
        return {"metrics": kept, "digests": digests, "curves": self.curves}

    def result(self, where: str) -> Result:
        """The run as verdicts read it."""
        curves = {metric: Curve(*(tuple(columns[name]) for name in COLUMNS)) for metric, columns in self.curves.items()}
        return Result(
            where,
            self.claim,
            self.arm,
            self.seed,
            self.scale,
            self.metrics,
            self.config_digest,
            curves=curves,
            published_config=flatten(to_dict(self.run_config())),
        )


def _kinds(hint: Any) -> tuple[type, ...]:
    """What JSON gives for a field of this type: int too for float, and None for an optional one."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    plain = [typing.get_origin(option) or option for option in options]
    return (*plain, *((int,) if float in plain else ()))


KINDS = {name: _kinds(hint) for name, hint in typing.get_type_hints(Published).items()}


def parsed(values: Mapping[str, Any], where: str) -> Published:
    """A line's object as a published run. Raises `InputError` that names `where` and the first thing that is wrong."""
    for name in sorted({*values, *KINDS}):
        if name not in KINDS:
            raise InputError(f"{where}: {name} is not allowed: a line has {', '.join(sorted(KINDS))}")
        if name not in values or not isinstance(values[name], KINDS[name]) or isinstance(values[name], bool):
            kinds = " or ".join("null" if kind is types.NoneType else kind.__name__ for kind in KINDS[name])
            raise InputError(f"{where}: {name}: {values.get(name, '(missing)')!r} is not allowed: {kinds} is")
    if values["outcome"] not in ("finished", "diverged"):
        raise InputError(f"{where}: outcome: {values['outcome']!r} is not allowed: finished or diverged is")
    for metric, columns in values["curves"].items():
        if not isinstance(columns, dict) or sorted(columns) != sorted(COLUMNS):
            raise InputError(f"{where}: curves: {metric}: {', '.join(COLUMNS)} are allowed, each a list")
        lengths = {len(column) if isinstance(column, list) else -1 for column in columns.values()}
        if len(lengths) != 1 or -1 in lengths:
            raise InputError(f"{where}: curves: {metric}: its columns are no lists of one length")
    run = Published(**values)
    try:
        found = digest(run.run_config())
    except InputError as error:
        raise InputError(f"{where}: config: {error}") from None
    if found != run.config_digest:
        raise InputError(f"{where}: config_digest is {run.config_digest}, the config gives {found}")
    return run


def published_run(
    folder: Path, source_digest: str | None = None, cores: int | None = None, most: int = MOST_POINTS
) -> Published:
    """The line of a finished run's folder, which `verify_run` found whole; its curves have at most `most` points.

    `source_digest` and `cores` are for runs of versions that did not keep them. Raises `InputError`.
    """
    config, identity = read_folder(folder)
    values, environment = read_json(folder / "result.json", dict), read_json(folder / "environment.json", dict)
    result = read_result(folder / "result.json")
    lines = [line for _, line in read_jsonl(folder / "metrics.jsonl")]
    samples = read_samples(folder / "samples.txt")
    metrics = result.metrics
    how = environment.get("how") or [{"way": "serial", "cores": environment.get("cores", cores)}]
    diverged = bool(metrics.get("diverged"))
    return Published(
        claim=identity.experiment,
        scale=identity.scale,
        arm=identity.arm,
        seed=identity.seed,
        outcome="diverged" if diverged else "finished",
        metrics={key: _finite(value) for key, value in metrics.items()},
        curves=curves(lines, most),
        config=changed(config),
        config_digest=digest(config),
        data_digest=str(values.get("data_digest")),
        source_digest=values.get("source_digest", source_digest),
        weights_digest=values.get("weights_digest"),
        log_digest=log_digest(lines),
        parameters_digest=None if diverged else _parameters_digest(config, folder),
        commit=str(environment.get("commit")),
        environment=environment_of(environment),
        how=how,
        tokens=metrics.get("tokens"),
        flops=flops(config, metrics),
        seconds=metrics.get("time/seconds"),
        sample=samples[-1].text[:SAMPLE_CHARACTERS] if samples else "",
    )


def environment_of(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What a line keeps of an environment.json, apart from the commit and from how the run was made."""
    return {key: value for key, value in kept.items() if key not in ("commit", "dirty", "how")}


def changed(config: RunConfig) -> dict[str, Any]:
    """What differs from the defaults, dotted: equal configs, equal mappings."""
    return {key: value for key, (_, value) in differences(RunConfig(), config).items()}


def flops(config: RunConfig, metrics: Mapping[str, Any]) -> float | None:
    """The FLOP of training. A fine-tuning does not log them: of one, as if all of the model trained."""
    from gpt_jax.model.costs import train_flops_per_token

    if metrics.get("train/flops") is not None or metrics.get("tokens") is None:
        return metrics.get("train/flops")
    return float(train_flops_per_token(config.model) * metrics["tokens"])


def curves(lines: Sequence[Mapping[str, Any]], most: int = MOST_POINTS) -> dict[str, dict[str, list]]:
    """Every metric of a log that is no clock, at `most` points or fewer."""
    names = dict.fromkeys(key for line in lines for key in line if key not in LEFT_OUT and not key.startswith(CLOCKS))
    found = {}
    for name in names:
        curve = curve_of(lines, name)
        if curve.step:
            places = thinned(len(curve.step), most)
            found[name] = {column: [getattr(curve, column)[place] for place in places] for column in COLUMNS}
    return found


def thinned(count: int, most: int = MOST_POINTS) -> list[int]:
    """The places of `most` of `count` points, or of all: the first ones, and evenly from there to the last."""
    if count <= most:
        return list(range(count))
    rest, last = most - FIRST_POINTS, count - 1
    return [*range(FIRST_POINTS), *(FIRST_POINTS + (last - FIRST_POINTS) * i // (rest - 1) for i in range(rest))]


def log_digest(lines: Iterable[Mapping[str, Any]]) -> str:
    """Sixteen digits that name all of a log but the clocks."""
    return digest_of([{key: value for key, value in line.items() if not key.startswith(CLOCKS)} for line in lines])


def arrays_digest(tree: Any) -> str:
    """Sixteen digits that name a tree of arrays: their names, types, shapes and bytes."""
    import jax
    import numpy as np

    summary = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.ascontiguousarray(leaf)
        summary.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode())
        summary.update(array.view(np.uint8).data)
    return summary.hexdigest()[:16]


def _parameters_digest(config: RunConfig, folder: Path) -> str:
    """Of the parameters that a run ended with. Raises `InputError` where they are not there or not finite."""
    import jax
    import numpy as np

    parameters = kind_of(config).final_parameters(config, folder)
    if parameters is None:
        raise InputError(f"{folder}: the parameters after its last step are missing")
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(parameters)):
        raise InputError(f"{folder}: the parameters after its last step are not all finite")
    return arrays_digest(parameters)


def _finite(value: Any) -> Any:
    """A metric, or a list of them, with None for what is not finite."""
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
