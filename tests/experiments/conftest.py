"""A runner that trains nothing."""

import json
import sys
import types
from dataclasses import dataclass
from typing import Any

import pytest

import experiments.runs
from gpt_jax.config import digest
from gpt_jax.errors import InputError
from tests.experiments.made_up import write_folder


@pytest.fixture
def fake_runner(monkeypatch):
    """`experiments.runs.runner` with the real one's interface; `calls` lists what was trained."""
    module: Any = types.ModuleType("experiments.runs.runner")

    @dataclass(frozen=True)
    class RunIdentity:
        experiment: str
        arm: str
        seed: int
        scale: str

    class Interrupted(Exception):
        pass

    def run(config, folder, identity, **options):
        path = folder / "config.json"
        if path.exists() and json.loads(path.read_text(encoding="utf-8"))["digest"] != digest(config):
            raise InputError(f"{folder} holds a run of another config")
        if (folder / "result.json").exists():
            return json.loads((folder / "result.json").read_text(encoding="utf-8"))
        error = module.errors.get((identity.arm, identity.seed))
        if error is not None:
            raise error
        module.calls.append((identity.arm, identity.seed))
        module.configs.append(config)
        module.options.append(options)
        return write_folder(folder, config, vars(identity))

    module.RunIdentity, module.Interrupted, module.run = RunIdentity, Interrupted, run
    module.calls, module.configs, module.options, module.errors = [], [], [], {}
    monkeypatch.setitem(sys.modules, "experiments.runs.runner", module)
    monkeypatch.setattr(experiments.runs, "runner", module, raising=False)
    monkeypatch.setattr("experiments.runs.sweep.ways.usable_cores", lambda: 1)  # other processes have the real runner
    return module
