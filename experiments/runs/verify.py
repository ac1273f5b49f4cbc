"""Is a run folder whole, and do its files agree with each other?"""

from __future__ import annotations

import math
from pathlib import Path

from experiments.runs.results import LOSS, metric_lines, read_json, read_result
from gpt_jax.config import digest, from_dict
from gpt_jax.errors import InputError
from gpt_jax.training.plan import make_plan


def run_folders(folder: Path) -> list[Path]:
    """The run folders at or below `folder`. Raises `InputError` where there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder: a run folder (runs/EXPERIMENT/ARM/seed-N) or one above is allowed")
    found = sorted(path.parent for path in folder.rglob("config.json"))
    if not found:
        raise InputError(f"{folder} is not a run folder: no config.json at or below it")
    return found


def verify_run(folder: Path) -> list[str]:
    """What is wrong with a run folder, a line each; an empty list if nothing is."""
    problems: list[str] = []
    for check in (_config, _metrics, _result, _pictures, _checkpoints):
        try:
            problems += check(folder)
        except InputError as error:
            problems.append(str(error))
    return problems


def _config(folder: Path) -> list[str]:
    values = read_json(folder / "config.json")
    read_json(folder / "environment.json")
    stated, config = values.pop("digest", None), _read_config(folder)
    if stated != digest(config):
        return [f"{folder / 'config.json'}: its digest is {stated}, its values give {digest(config)}"]
    return []


def _metrics(folder: Path) -> list[str]:
    path, config = folder / "metrics.jsonl", _read_config(folder)
    if config.finetuning.task is not None:
        steps = [line.get("step", -1) for line in metric_lines(path)]
        return [] if steps == sorted(steps) else [f"{path}: its steps are not in order"]
    plan, last = make_plan(config), 0
    for number, line in enumerate(metric_lines(path), 1):
        step, tokens = line.get("step"), line.get("tokens")
        if not isinstance(step, int) or not last <= step <= plan.steps:
            return [f"{path}: line {number}: step {step} is not allowed after {last}, of {plan.steps}"]
        if tokens != int(plan.tokens[step]):
            return [f"{path}: line {number}: {tokens} tokens at step {step}: the plan has {plan.tokens[step]}"]
        last = step
    return []


def _result(folder: Path) -> list[str]:
    path = folder / "result.json"
    if not path.exists():
        return [f"{path}: missing: the run is not finished; `resume` goes on with it"]
    result, values = read_result(path), read_json(folder / "config.json")
    problems = []
    if result.config_digest != values.get("digest"):
        problems.append(f"{path}: config_digest is {result.config_digest}, the config's is {values.get('digest')}")
    where = {"experiment": result.experiment, "arm": result.arm, "seed": result.seed, "scale": result.scale}
    if values.get("identity") != where:
        problems.append(f"{path}: is of {where}, its folder's config of {values.get('identity')}")
    if not result.metrics.get("diverged") and not math.isfinite(result.value(LOSS)):
        problems.append(f"{path}: {LOSS} is {result.metrics.get(LOSS)}: a finite number is allowed")
    return problems


def _pictures(folder: Path) -> list[str]:
    if not (folder / "result.json").exists():
        return []
    fine_tuned = _read_config(folder).finetuning.task is not None
    names = ("loss.png",) if fine_tuned else ("loss.png", "samples.txt")
    return [f"{folder / name}: missing" for name in names if not (folder / name).is_file()]


def _checkpoints(folder: Path) -> list[str]:
    """The newest checkpoint, or the fine-tuned classifier, can be read, and holds finite numbers."""
    if _read_config(folder).finetuning.task is not None:
        return _classifier(folder)
    if not any(path.name.isdigit() for path in (folder / "checkpoints").glob("*")):
        return [f"{folder / 'checkpoints'}: holds no checkpoint"]
    import jax
    import jax.numpy as jnp

    from experiments.runs.weights import restore

    problems: list[str] = []
    state = restore(_read_config(folder), folder, problems.append)
    finite = jax.tree.map(lambda leaf: bool(jnp.isfinite(leaf).all()), state.params)
    if not all(jax.tree.leaves(finite)):
        problems.append(f"{folder / 'checkpoints'}: the newest checkpoint's parameters are not all finite")
    return problems


def _classifier(folder: Path) -> list[str]:
    if not (folder / "result.json").exists() or read_result(folder / "result.json").metrics.get("diverged"):
        return []
    import jax
    import jax.numpy as jnp

    from experiments.runs.finetuning_session import WEIGHTS, restore

    params = restore(folder).trained
    finite = jax.tree.map(lambda leaf: bool(jnp.isfinite(leaf).all()), params)
    return [] if all(jax.tree.leaves(finite)) else [f"{folder / WEIGHTS}: its parameters are not all finite"]


def _read_config(folder: Path):
    values = read_json(folder / "config.json")
    return from_dict({key: value for key, value in values.items() if key not in ("digest", "identity")})
