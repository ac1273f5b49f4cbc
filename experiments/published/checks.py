"""What may be published: a whole run, of a clean commit that is on main, of the claim's config, on data to be had."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from experiments.corpora.catalogue import fetched
from experiments.experiment import Experiment, RunIdentity
from experiments.published.file import differences_from_claim
from experiments.runs.folder import read_folder
from experiments.runs.kinds import Run, kind_of
from experiments.runs.screen import Screen
from experiments.runs.verify import verify_run
from gpt_jax.config import RunConfig
from gpt_jax.data.mixture import parse_sources
from gpt_jax.data.public_files import public_root
from gpt_jax.disk import read_json
from gpt_jax.errors import InputError

MAIN = ("origin/main", "main")  # the branch that a commit must be on: as published, or else as it is here


class Checks:
    """What must hold of runs before they are published. Data that several runs share is read once."""

    def __init__(self, experiment: Experiment, data_dir: Path | None, screen: Screen):
        self._experiment, self._given, self._screen = experiment, public(data_dir), screen
        self._found: dict[Any, str] = {}  # data -> its digest now

    def source_digest(self, folder: Path) -> str:
        """The digest of the data of a run that may be published. Raises `InputError` for one that may not."""
        environment = read_json(folder / "environment.json", dict)
        commit = environment.get("commit")
        if not isinstance(commit, str):
            raise InputError(f"{folder}: environment.json has no commit: a run from a checkout is allowed")
        if environment.get("dirty") is not False:
            raise InputError(f"{folder}: its checkout had changes that are in no commit: a clean checkout is allowed")
        if not on_main(commit):
            raise InputError(f"{folder}: its commit {commit[:12]} is not on main: a commit that is on main is allowed")
        problems = verify_run(folder, weights=False)  # `published_run` reads them
        if problems:
            raise InputError(problems[0])
        config, identity = read_folder(folder)
        changed = differences_from_claim(config, identity, self._experiment)
        if changed:
            raise InputError(f"{folder}: {changed[0]} as {identity.experiment} has it at {identity.scale}")
        return self._check_data(folder, config, identity)

    def _check_data(self, folder: Path, config: RunConfig, identity: RunIdentity) -> str:
        for name, _ in parse_sources(config.data.source):
            if Path(name.partition(":")[2]).is_absolute():
                raise InputError(f"{folder}: its data {name!r} is unknown: what `data` lists, or has a public name, is")
        result, kind = read_json(folder / "result.json", dict), kind_of(config)
        data = (config.data, config.finetuning.task)
        data_dir = self._given or fetched(self._experiment.name, self._experiment.data, config.data.source)
        now = self._once(data, lambda: kind.origins(config, data_dir)["source_digest"])
        stated, made = result.get("source_digest"), now
        if stated is None:  # as of earlier versions: what was made of the source is compared
            wanted = Run(config, folder, identity, data_dir, self._screen, True, None, "", lambda: False)
            shape = (config.model.vocab_size, config.model.context_length, config.finetuning.weights)
            stated, made = result.get("data_digest"), self._once((*data, shape), lambda: kind.gather(wanted).digest)
        if stated != made:
            raise InputError(f"{folder}: its data has the digest {stated}; {config.data.source} has {made} now")
        return now

    def _once(self, key: Any, make: Callable[[], str]) -> str:
        if key not in self._found:
            self._found[key] = make()
        return self._found[key]


def public(data_dir: Path | None) -> Path | None:
    """`data_dir`, if `data get` filled it: what lies elsewhere, not everybody has. Raises `InputError`."""
    root = public_root()
    if data_dir is not None and not data_dir.resolve().is_relative_to(root.resolve()):
        raise InputError(f"--data-dir: {str(data_dir)!r} is not allowed: data that `data get` fetched to {root} is")
    return data_dir


@cache
def on_main(commit: str) -> bool:
    """Whether a commit is main's last one, or one before it. Raises `InputError` where git cannot tell."""
    home = Path(__file__).parent
    for branch in MAIN:
        if _git(home, "rev-parse", "--verify", "--quiet", branch).returncode == 0:
            return _git(home, "merge-base", "--is-ancestor", commit, branch).returncode == 0
    raise InputError(f"git: no branch of {', '.join(MAIN)} in {home}: a clone that has main is allowed")


def _git(home: Path, *words: str) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(["git", *words], cwd=home, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"git: cannot be asked ({error}): publishing needs it") from None
