"""Seconds until something happens: an import, the list of experiments, the first training step. By the clock.

The first step is of `run quickstart`: from the command to its first line in the run's metrics, with an empty cache and
with the one that the first round left. Every round starts a fresh Python.

    python benchmarks/start.py            # 4 rounds, about 2 minutes on 2 CPU cores
    python benchmarks/start.py --quick    # one round, at smoke scale: does it run?
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import seconds, table, where

ROOT = Path(__file__).parents[1]
GOALS = {"import gpt_jax": 0.3, "list": 0.25, "first step, empty cache": 12.0, "first step, filled cache": 4.0}
LONGEST = 300.0  # seconds that a first step may take


def first_step(scale: str, cache: Path) -> float:
    """Seconds from the command to the first step that the run has logged. Raises `RuntimeError` where none comes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "experiments", "run", "quickstart", "--scale", scale, "--out", folder]
        log = Path(folder, "quickstart", "gpt", "seed-0", "metrics.jsonl")
        environment = {**os.environ, "GPT_JAX_CACHE": str(cache)}
        started = time.perf_counter()
        run = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not (log.exists() and log.stat().st_size):
                if run.poll() is not None or time.perf_counter() - started > LONGEST:
                    raise RuntimeError(f"{' '.join(command)}: no step in {LONGEST:.0f} s, or it ended")
                time.sleep(0.01)
            return time.perf_counter() - started
        finally:
            run.terminate()  # a run saves and ends
            run.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4, help="rounds of each (default 4)")
    parser.add_argument("--quick", action="store_true", help="one round, at smoke scale")
    arguments = parser.parse_args()
    rounds, scale = (1, "smoke") if arguments.quick else (arguments.rounds, "cpu")

    def python(*given: str) -> float:
        return seconds(lambda: subprocess.run([sys.executable, *given], cwd=ROOT, check=True, capture_output=True))

    times: dict[str, list[float]] = {name: [] for name in GOALS}
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(rounds):
            times["import gpt_jax"].append(python("-c", "import gpt_jax"))
            times["list"].append(python("-m", "experiments", "list"))
            shutil.rmtree(cache)
            Path(cache).mkdir()
            times["first step, empty cache"].append(first_step(scale, Path(cache)))
            times["first step, filled cache"].append(first_step(scale, Path(cache)))
    rows = [
        (name, f"{min(values):.2f} s", f"{statistics.median(values):.2f} s", f"{GOALS[name]:g} s")
        for name, values in times.items()
    ]
    print(where())
    print(table((f"{rounds} rounds, quickstart at {scale} scale", "best", "median", "goal"), rows))


if __name__ == "__main__":
    main()
