"""A run of a dozen steps, for real: how tests start it, stop it, read its lines and compare it with another one."""

import json

import jax
import numpy as np
import pytest

from experiments.runs import runner
from experiments.runs.weights import restore
from tests.training.tiny import TINY

IDENTITY = runner.RunIdentity("quickstart", "gpt", 0, "smoke")


def run(folder, text, config=TINY, **options):
    return runner.run(config, folder, IDENTITY, data_dir=text, **options)


def stop_at(folder, step):
    """`should_stop` of a run that is asked to stop in its step `step`, from 2: the metrics lag one step behind."""

    def should_stop():
        log = folder / "metrics.jsonl"
        return log.exists() and log.read_text(encoding="utf-8").count("train/loss") == step - 1

    return should_stop


def lines_without_clocks(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]


def assert_same_run(folder, other):
    """Bitwise: parameters, moments, metrics but the clocks, samples, result."""
    a, b = (restore(TINY, f, pytest.fail) for f in (folder, other))
    jax.tree.map(np.testing.assert_array_equal, a, b)
    ours, theirs = lines_without_clocks(folder), lines_without_clocks(other)
    for mine, its in zip(ours, theirs, strict=True):
        assert mine == its, f"the runs part at step {mine['step']}"
    assert (folder / "samples.txt").read_text(encoding="utf-8") == (other / "samples.txt").read_text(encoding="utf-8")
    results = [json.loads((f / "result.json").read_text(encoding="utf-8")) for f in (folder, other)]
    for result in results:
        result["metrics"] = {k: v for k, v in result["metrics"].items() if not k.startswith("time/")}
    assert results[0] == results[1]
