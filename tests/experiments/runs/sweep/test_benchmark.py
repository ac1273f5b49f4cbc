"""benchmarks/sweep.py runs, and counts what was done while all trained."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
sys.path.append(str(ROOT / "benchmarks"))


def test_a_rate_counts_the_ticks_within_the_window():
    sweep = pytest.importorskip("sweep")
    ticks = [(0.0, 0), (2.0, 10), (4.0, 10), (5.0, 10), (6.0, 10)]
    assert sweep.rate(ticks, 0.0) == 40 / 6
    assert sweep.rate(ticks, 3.0) == 20 / 2
    assert sweep.rate(ticks, 99.0) == 20 / 2  # two ticks at least


@pytest.mark.slow
def test_the_quick_benchmark_prints_the_three_ways():
    command = [sys.executable, "benchmarks/sweep.py", "--quick"]
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=path, capture_output=True, encoding="utf-8", timeout=900, check=True)
    assert "| size | serial tokens/s | " in done.stdout and "together (best / median)" in done.stdout
