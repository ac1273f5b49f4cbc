"""Runs that train as one program: each is what it would be alone, stops and goes on like one, keeps its own files."""

import dataclasses
import json
import os
import subprocess
import sys
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from rich.console import Console

from experiments.experiment import RunIdentity
from experiments.runs.finetuning import saved as classifiers
from experiments.runs.pretraining.session import step_of
from experiments.runs.signals import CommandStopped
from experiments.runs.sweep import together as module
from experiments.runs.sweep.member import Member
from experiments.runs.sweep.together import carry_out_together, lanes_for, program_of
from experiments.runs.sweep.ways import Way, make_runs
from experiments.runs.weights import restore
from gpt_jax.config import override
from tests.devices import with_devices
from tests.finetuning.tiny import run_config
from tests.training.tiny import TINY

STEPS = 50
BASE = override(
    TINY,
    {
        "model.residual_dropout": 0.1,
        "training.train_tokens": 64 * STEPS,
        **{f"training.{name}_every_tokens": 64 * 25 for name in ("evaluate", "checkpoint", "sample")},
    },
)
ARMS = {
    "plain": {},
    "slow": {"optimizer.learning_rate": 1e-3, "optimizer.warmup_tokens": 64 * 5, "optimizer.schedule": "linear"},
    "other": {"optimizer.weight_decay": 0.3, "model.initialization_std": 0.1, "training.seed": 7},
    "dropping": {"model.residual_dropout": 0.0, "model.attention_dropout": 0.2, "model.embedding_dropout": 0.1},
}
FINE_TUNING = override(
    run_config(task="grammar", epochs=2, batch_size=8, examples=200, validation_examples=20, max_length=48),
    {"data.tokenizer": "bytes", "optimizer.epsilon": 1e-4, "model.residual_dropout": 0.1},
)
FINE_TUNED = {
    "plain": {},
    "dropping": {"finetuning.auxiliary_weight": 0.0, "model.residual_dropout": 0.0, "model.attention_dropout": 0.2},
    "other": {
        "training.seed": 5,
        "optimizer.weight_decay": 0.0,
        "model.initialization_std": 0.1,
        "finetuning.learning_rate": 1e-3,
        "finetuning.warmup_fraction": 0.2,
        "finetuning.classifier_dropout": 0.0,
        "finetuning.patience": 1,
    },
}


def members(out, text):
    def member(arm, changes):
        config = override(BASE, changes)
        return Member(RunIdentity("quickstart", arm, config.training.seed, "smoke"), config, out, text)

    return [member(arm, changes) for arm, changes in ARMS.items()]


def make(way, out, text, count=None):
    runs = members(out, text)[:count]
    assert make_runs(runs, way, Console(quiet=True)) == []
    return runs


@pytest.fixture(scope="module")
def together(text, tmp_path_factory):
    return make(Way("together", 4), tmp_path_factory.mktemp("together"), text)


def lines(folder):
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("time/")} for line in found]


@pytest.mark.slow
def test_runs_that_train_together_equal_the_same_runs_alone(together, text, tmp_path):
    for ours, theirs in zip(together, make(Way(), tmp_path, text), strict=True):
        a, b = (restore(run.config, run.folder, pytest.fail) for run in (ours, theirs))
        assert int(a.step) == STEPS
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), a, b)
        for mine, its in zip(lines(ours.folder), lines(theirs.folder), strict=True):
            assert mine.keys() == its.keys()
            assert [mine[key] for key in mine] == pytest.approx([its[key] for key in mine], abs=1e-4)
        assert {path.name for path in ours.folder.iterdir()} == {path.name for path in theirs.folder.iterdir()}


@pytest.mark.slow
def test_a_run_says_that_it_was_made_together(together):
    for run in together:
        result = json.loads((run.folder / "result.json").read_text(encoding="utf-8"))
        assert result["how"]["way"] == "together" and result["how"]["copies"] == len(ARMS)
        assert result["arm"] == run.identity.arm


@pytest.mark.slow
def test_fine_tunings_that_train_together_equal_the_same_alone(tmp_path):
    def fine_tuned(way):
        out = tmp_path / way.name
        runs = [
            Member(RunIdentity("finetune", arm, 0, "cpu"), override(FINE_TUNING, changes), out)
            for arm, changes in FINE_TUNED.items()
        ]
        assert make_runs(runs, way, Console(quiet=True)) == []
        return runs

    for ours, theirs in zip(fine_tuned(Way("together", 3)), fine_tuned(Way()), strict=True):
        a, b = (classifiers.restore(run.folder) for run in (ours, theirs))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), a.trained, b.trained)
        for mine, its in zip(lines(ours.folder), lines(theirs.folder), strict=True):
            assert mine == pytest.approx(its, abs=1e-4)


def test_runs_whose_arrays_differ_in_shape_are_parted():
    """As fine-tunings whose longest examples differ."""

    def counting(settings):
        return lambda state, constants, x: (state + x.sum(), {"seen": constants["rate"] * x.sum()})

    lanes, ended = lanes_for(3), {}

    def body(lane, width):
        step = lane.stepper(BASE, counting, {"rate": np.float32(lane.number)})
        state: Any = np.float32(0)
        metrics = {}
        for _ in range(width):
            state, metrics = step(state, np.ones(width, np.float32))
        return float(state.of(lambda whole: whole)), float(metrics["seen"].__array__())

    bodies = [partial(body, lane, width) for lane, width in zip(lanes, (2, 3, 2), strict=True)]
    carry_out_together(bodies, lanes, ended.__setitem__)
    assert ended == {0: (4, 0), 1: (9, 3), 2: (4, 4)}


@pytest.mark.slow
def test_runs_that_were_stopped_at_different_steps_go_on_together_as_if_they_had_not(
    together, text, tmp_path, monkeypatch
):  # fmt: skip
    from experiments.runs.sweep import ways

    stopping = iter([False] * 4 * 20 + [False, True] + [True] * 1000)  # in step 20, after the first of four runs
    carry_out = ways.carry_out
    monkeypatch.setattr(ways, "carry_out", lambda m, **o: carry_out(m, **{**o, "should_stop": lambda: next(stopping)}))
    with pytest.raises(CommandStopped, match="its checkpoint is written"):
        make(Way("together", 4), tmp_path, text)
    monkeypatch.undo()
    steps = {max(int(p.name) for p in (m.folder / "checkpoints").glob("[0-9]*")) for m in members(tmp_path, text)}
    assert len(steps) == 2
    for ours, theirs in zip(make(Way("together", 4), tmp_path, text), together, strict=True):
        a, b = (restore(run.config, run.folder, pytest.fail) for run in (ours, theirs))
        jax.tree.map(np.testing.assert_array_equal, a, b)
        assert lines(ours.folder) == lines(theirs.folder)


def test_runs_share_a_program_if_they_differ_in_seeds_and_scalars_alone():
    assert len({program_of(override(BASE, changes)) for changes in ARMS.values()}) == 1
    assert len({program_of(override(FINE_TUNING, changes)) for changes in FINE_TUNED.values()}) == 1
    for changes in ({"model.d_model": 32}, {"optimizer.name": "openai_adam"}, {"finetuning.batch_size": 2}):
        assert program_of(override(FINE_TUNING, changes)) != program_of(FINE_TUNING) != program_of(BASE)
    assert program_of(override(BASE, {"mesh.fsdp": 2})) is None
    assert program_of(dataclasses.replace(BASE, mesh=dataclasses.replace(BASE.mesh, data=1))) is not None


def test_a_run_gets_its_own_steps_and_an_error_in_the_program_is_every_runs(monkeypatch):
    class Doubling:
        """A program whose step doubles, until a state is 8."""

        def __init__(self, requests):
            self.states = [request.state for request in requests]

        def step(self, given):
            if any(self.states[n] == 8 for n in given):
                raise MemoryError("no room")
            self.states = [state * 2 if n in given else state for n, state in enumerate(self.states)]
            return [(state, {}) for state in self.states]

    monkeypatch.setattr(module, "Program", Doubling)
    lanes, ended = lanes_for(3), {}

    def body(lane, steps):
        state, step = lane.number + 1, lane.stepper(BASE, step_of)
        try:
            for _ in range(steps):
                state, _ = step(state)
        except MemoryError as error:
            return str(error)
        return state

    bodies = [partial(body, lane, steps) for lane, steps in zip(lanes, (9, 1, 0), strict=True)]
    carry_out_together(bodies, lanes, ended.__setitem__)
    assert ended == {0: "no room", 1: 4, 2: 3}


TWO_DEVICES = """
import sys
from pathlib import Path
from tests.experiments.runs.sweep.test_together import Way, make
make(Way("together", 3), Path(sys.argv[1]), Path(sys.argv[2]), count=3)
"""


@pytest.mark.slow
def test_copies_spread_over_devices_and_change_nothing(together, text, tmp_path):
    """Three runs on two devices: one of four places is idle."""
    flags = {"XLA_FLAGS": with_devices(2)}
    command = [sys.executable, "-c", TWO_DEVICES, str(tmp_path), str(text)]
    subprocess.run(command, check=True, env={**os.environ, **flags}, timeout=600)
    for ours, theirs in zip(members(tmp_path, text)[:3], together[:3], strict=True):
        a, b = (restore(run.config, run.folder, pytest.fail) for run in (ours, theirs))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), a, b)
        found = json.loads((ours.folder / "environment.json").read_text(encoding="utf-8"))
        assert len(found["devices"]) == 2
