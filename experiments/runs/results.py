"""Reads the results of runs, checked and never mixed: every `result.json` below a folder, or lines that were published.

A `Result` is one finished run, wherever it was read from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.experiment import FAILED, Experiment
from gpt_jax.config import flatten, to_dict
from gpt_jax.disk import read_json, read_jsonl
from gpt_jax.errors import InputError, unknown

FIELDS = {"experiment": str, "arm": str, "seed": int, "scale": str, "metrics": dict, "config_digest": str}
LOSS, UNIGRAM = "validation/loss", "validation/unigram_entropy"  # nats/token
MISSING = "(missing)"
SECTIONS = ("model.", "data.", "optimizer.", "training.", "finetuning.")
# How numbers are computed and not which: runs that differ in these alone are runs of one config.
COMPUTED = ("model.attention_implementation", "model.remat", "model.loss_chunk", "training.tensorboard")


@dataclass(frozen=True)
class Curve:
    """A metric over a run: the values, and at which step and after how many tokens each was measured."""

    step: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    value: tuple[float, ...] = ()


@dataclass(frozen=True)
class Result:
    """One finished run; `failure` says why it counts as failed, "" where it does not.

    `where` is its folder, or the file and line that it was published in. `config` is its whole config, dotted.
    """

    where: str
    experiment: str
    arm: str
    seed: int
    scale: str
    metrics: Mapping[str, Any]
    config_digest: str
    failure: str = ""
    folder: Path | None = None  # None: a published run, whose curves and config are here
    curves: Mapping[str, Curve] | None = None
    published_config: Mapping[str, Any] | None = None

    def value(self, metric: str) -> float:
        """A number of this run; `FAILED` is 0 or 1, and NaN stands for one that is not there."""
        if metric == FAILED:
            return float(bool(self.failure))
        value = self.metrics.get(metric)
        return float(value) if isinstance(value, int | float) else math.nan

    def curve(self, metric: str) -> Curve:
        """What the run logged of `metric`, as far as it was kept; empty where that is nothing."""
        if self.curves is not None:
            return self.curves.get(metric, Curve())
        assert self.folder is not None
        return curve_of([line for _, line in read_jsonl(self.folder / "metrics.jsonl")], metric)

    def settings(self) -> dict[str, Any]:
        """The whole config, dotted, without the mesh. Raises `InputError`."""
        values = self.published_config
        if values is None:
            assert self.folder is not None
            flat = flatten(read_json(self.folder / "config.json", dict))
            values = {key.removeprefix("config."): value for key, value in flat.items()}
        return {key: value for key, value in values.items() if key.startswith(SECTIONS)}


def curve_of(lines: Iterable[Mapping[str, Any]], metric: str) -> Curve:
    """A metric of the lines of a log. Values that are not there, or not finite, are left out."""
    points = [(line["step"], line["tokens"], line[metric]) for line in lines if line.get(metric) is not None]
    return Curve(*(tuple(column) for column in zip(*points, strict=True))) if points else Curve()


def read_result(path: Path) -> Result:
    """One `result.json`. Raises `InputError` that names the file and what is wrong in it."""
    values = read_json(path, dict)
    for name, kind in FIELDS.items():
        if not isinstance(values.get(name), kind):
            raise InputError(f"{path}: {name}: {values.get(name, MISSING)!r} is not allowed: {kind.__name__} is")
    return Result(str(path.parent), folder=path.parent, **{name: values[name] for name in FIELDS})


def failure(result: Result, plateau: float | None) -> str:
    """Why a run counts as failed, or "": it diverged, has no finite loss, or parks at the unigram entropy."""
    if result.metrics.get("diverged"):
        step = result.metrics.get("diverged_at_step")
        return "diverged" if step is None else f"diverged at step {step:g}"
    loss, entropy = result.value(LOSS), result.value(UNIGRAM)
    if not math.isfinite(loss):
        return f"{LOSS} is not finite"
    if plateau is not None and loss >= entropy - plateau:  # false where the entropy is unknown (NaN)
        return f"plateau: {loss:.3f} nats, unigram entropy {entropy:.3f}"
    return ""


def experiment_folders(folder: Path) -> dict[str, Path]:
    """Experiment -> its folder, for all results at or below `folder`. Raises `InputError` where there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder: give an experiment that was run, or a folder of runs")
    found = {}
    for path in sorted(folder.rglob("result.json")):
        result, home = read_result(path), path.resolve().parent.parent.parent
        if found.setdefault(result.experiment, home) != home:
            raise InputError(f"{folder}: holds {result.experiment} twice: in {found[result.experiment]} and {home}")
    if not found:
        raise InputError(f"{folder}: no finished run (result.json) at or below it: nothing to report")
    return found


def read_results(folder: Path, experiment: Experiment) -> list[Result]:
    """All finished runs of an experiment's folder (`collected`)."""
    return collected([read_result(path) for path in sorted(folder.glob("*/seed-*/result.json"))], experiment)


def follows_the_seed(key: str, results: Iterable[Result], experiment: Experiment) -> bool:
    """Whether each of these runs has the value of `key` that its arm states for its seed: such values may differ."""
    return all(
        callable(experiment.arms[result.arm].get(key))
        and result.scale in experiment.scales
        and flatten(to_dict(experiment.config(result.arm, result.scale, result.seed))).get(key)
        == result.settings().get(key)
        for result in results
    )


def collected(results: Sequence[Result], experiment: Experiment) -> list[Result]:
    """The runs of one report, with failures marked, in the order of the experiment's arms and of seeds.

    Raises `InputError` on an arm the experiment does not have, on two scales, and on configs that differ in
    more than the arms' own keys, the seed and what the arm itself makes of the seed: a mean over those would be of
    nothing.
    """
    first: dict[str, tuple[Result, dict[str, Any]]] = {}  # of all, and of each arm
    for result in results:
        if result.arm not in experiment.arms:
            raise unknown(f"arm of {experiment.name} in {result.where}", result.arm, experiment.arms)
        whole = {"scale": result.scale, **result.settings()}
        whole = {key: value for key, value in whole.items() if key not in (*COMPUTED, "training.seed")}
        common = {key: value for key, value in whole.items() if key not in experiment.arm_keys}
        for scope, settings in (("", common), (result.arm, whole)):
            reference, theirs = first.setdefault(scope, (result, settings))
            for key in sorted({*settings, *theirs}):
                if settings.get(key) != theirs.get(key) and not follows_the_seed(key, (reference, result), experiment):
                    raise InputError(
                        f"{key} is {theirs.get(key)!r} in {reference.where} and {settings.get(key)!r} in "
                        f"{result.where}: one report, one value"
                    )
    order = list(experiment.arms)
    return [
        replace(result, failure=failure(result, experiment.plateau))
        for result in sorted(results, key=lambda r: (order.index(r.arm), r.seed))
    ]


def unfinished(folder: Path) -> list[Path]:
    """Run folders that were begun and have no result yet."""
    return sorted(p.parent for p in folder.glob("*/seed-*/config.json") if not (p.parent / "result.json").exists())
