"""Each benchmark that has a quick mode runs in it from the checkout, as its docstring says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpt_jax.disk import read_json

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "benchmarks").glob("*.py"))
QUICK = [path.name for path in FILES if "--quick" in path.read_text(encoding="utf-8")]


def run(name, *arguments):
    command, environment = [sys.executable, f"benchmarks/{name}", *arguments], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in QUICK if name != "prepare.py"])
def test_a_benchmark_runs_in_its_quick_mode(name):
    assert "|" in run(name, "--quick")


@pytest.mark.slow
def test_preparation_is_measured_beside_its_peers_within_its_memory(tmp_path):
    """Speeds are told and not tested, since the machine may be busy; the memory does not depend on that."""
    assert "| whole preparation" in run("prepare.py", "--quick", "--json", str(tmp_path / "figures.json"))
    figures = read_json(tmp_path / "figures.json")["figures"]
    assert {"encoder", "whole preparation"} <= set(figures)
    assert all(row["MB/core-s"] > 0 for row in figures.values())
    assert figures["whole preparation"]["peak MiB"] < 1024
