"""Is a run folder whole, and do its files agree with each other?"""

from __future__ import annotations

import math
from pathlib import Path

from experiments.runs.kinds import kind_of
from experiments.runs.results import LOSS, read_result
from gpt_jax.config import digest, from_dict
from gpt_jax.disk import read_json, read_jsonl
from gpt_jax.errors import InputError


def run_folders(folder: Path) -> list[Path]:
    """The run folders at or below `folder`. Raises `InputError` where there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder: a run folder (runs/EXPERIMENT/ARM/seed-N) or one above is allowed")
    found = sorted(path.parent for path in folder.rglob("config.json"))
    if not found:
        raise InputError(f"{folder} is not a run folder: no config.json at or below it")
    return found


def verify_run(folder: Path, weights: bool = True) -> list[str]:
    """What is wrong with a run folder, one line for each fault; without `weights`, they are not read."""
    problems: list[str] = []
    for check in (_config, _metrics, _result, _files, *((_weights,) if weights else ())):
        try:
            problems += check(folder)
        except InputError as error:
            problems.append(str(error))
    return problems


def _config(folder: Path) -> list[str]:
    values = read_json(folder / "config.json", dict)
    read_json(folder / "environment.json", dict)
    stated, config = values.pop("digest", None), _read_config(folder)
    if stated != digest(config):
        return [f"{folder / 'config.json'}: its digest is {stated}, its values give {digest(config)}"]
    return []


def _metrics(folder: Path) -> list[str]:
    path, config = folder / "metrics.jsonl", _read_config(folder)
    return kind_of(config).wrong_lines(config, path, [line for _, line in read_jsonl(path)])


def _result(folder: Path) -> list[str]:
    path = folder / "result.json"
    if not path.exists():
        return [f"{path}: missing: the run is not finished; `resume` goes on with it"]
    result, values = read_result(path), read_json(folder / "config.json", dict)
    problems = []
    if result.config_digest != values.get("digest"):
        problems.append(f"{path}: config_digest is {result.config_digest}, the config's is {values.get('digest')}")
    where = {"experiment": result.experiment, "arm": result.arm, "seed": result.seed, "scale": result.scale}
    if values.get("identity") != where:
        problems.append(f"{path}: is of {where}, its folder's config of {values.get('identity')}")
    if not result.metrics.get("diverged") and not math.isfinite(result.value(LOSS)):
        problems.append(f"{path}: {LOSS} is {result.metrics.get(LOSS)}: a finite number is allowed")
    return problems


def _files(folder: Path) -> list[str]:
    if not (folder / "result.json").exists():
        return []
    names = ("loss.png", *kind_of(_read_config(folder)).files)
    return [f"{folder / name}: missing" for name in names if not (folder / name).is_file()]


def _weights(folder: Path) -> list[str]:
    """The newest checkpoint, or the fine-tuned classifier, can be read, and holds finite numbers."""
    config, result = _read_config(folder), folder / "result.json"
    if result.exists() and read_result(result).metrics.get("diverged"):
        return []  # what a diverged run kept, if anything, is of before
    return kind_of(config).wrong_weights(config, folder)


def _read_config(folder: Path):
    values = read_json(folder / "config.json", dict)
    return from_dict({key: value for key, value in values.items() if key not in ("digest", "identity")})
