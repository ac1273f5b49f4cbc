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
def test_preparation_keeps_up_with_its_peers_and_within_its_memory(tmp_path):
    """On 1 MB, what does not grow with the text weighs the most: so the encoders alone are compared."""
    assert "| whole preparation" in run("prepare.py", "--quick", "--json", str(tmp_path / "figures.json"))
    figures = read_json(tmp_path / "figures.json")["figures"]
    assert figures["encoder"]["of the best peer"] > 0.7
    assert all(row["MB/core-s"] > 0 for row in figures.values())
    assert figures["whole preparation"]["peak MiB"] < 1024
