"""Ten runs that differ in their seeds: one after another, side by side in pinned processes, and as one program.

    python benchmarks/sweep.py            # three sizes, 3 rounds; about 12 minutes on 2 quiet CPU cores
    python benchmarks/sweep.py --quick    # a tiny model, one round: does it run?

Each way runs in processes of its own. They warm up, and then train for the same time, the three ways in turn. What is
counted is tokens a second over all runs, evaluations and start-up apart. `run` chooses its way by what is found here.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from machine import ratios, table

import configs
from experiments import experiment
from experiments.runs.pretraining.session import step_of
from experiments.runs.sweep.pool import Died, core_shares, in_processes
from experiments.runs.sweep.program import Program, Request
from experiments.runs.sweep.together import SCALARS
from gpt_jax.config import RunConfig, override
from gpt_jax.disk import keep_compiled_programs
from gpt_jax.machine import generation, processor, usable_cores
from gpt_jax.training.plan import make_plan
from gpt_jax.training.state import init_state
from gpt_jax.training.step import make_train_step

Tick = Callable[[], int]  # trains some more, waits, and returns how many tokens that took
WAYS = ("serial", "jobs", "together")
LEAST = 2  # ticks of each process in a window


def sizes(quick: bool) -> dict[str, RunConfig]:
    """The config of each size, by its name."""
    quickstart = configs.get("quickstart")
    if quick:
        tiny = {"model.n_layer": 1, "model.d_model": 32, "model.vocab_size": 257, "model.context_length": 32}
        return {"tiny": override(quickstart, {**tiny, "training.batch_tokens": 64})}
    return {
        "12 layers x 64, 64 tokens": experiment.load("layer_norm").config("pre-lr1e-3-warmup5", "cpu", 0),
        "3 layers x 128, 512 tokens": experiment.load("context_length").config("512", "cpu", 0),
        "quickstart: 4 layers x 128, 128 tokens": quickstart,
    }


def tokens_of(config: RunConfig) -> np.ndarray:
    """Random tokens for one step."""
    plan = make_plan(config)
    shape = (plan.accumulation, plan.micro_batch, config.model.context_length + 1)
    return np.random.default_rng(0).integers(0, config.model.vocab_size, shape, np.int32)


def one_by_one(config: RunConfig, seeds: int) -> Tick:
    """A step of one run. All runs have one program, so which of them it is does not matter; `seeds` is not used."""
    step = jax.jit(make_train_step(config), donate_argnums=0)
    state, batch = jax.jit(lambda: init_state(config))(), tokens_of(config)

    def tick() -> int:
        nonlocal state
        state, _ = step(state, batch, np.float32(1e-3), np.uint32(0))
        jax.block_until_ready(state)
        return batch[..., 1:].size

    return tick


def as_one_program(config: RunConfig, seeds: int) -> Tick:
    """A step of each run."""
    batch, start = tokens_of(config), jax.jit(lambda seed: init_state(config, seed))
    given = {n: (batch, np.float32(1e-3), np.uint32(n)) for n in range(seeds)}
    states = [start(np.uint32(seed)) for seed in range(seeds)]
    program = Program([Request(step_of, config, SCALARS, states[n], (), given[n]) for n in range(seeds)])

    def tick() -> int:
        ((last, _), *_) = program.step(given)
        jax.block_until_ready(last.step)
        return seeds * batch[..., 1:].size

    return tick


def train(task: tuple[str, RunConfig, int], send: Callable[[Any], None], should_stop: Callable[[], bool]) -> list[Any]:
    """What a process does until it is told to stop: the moments at which it had trained on so many tokens more."""
    way, config, seeds = task
    keep_compiled_programs()
    tick = (as_one_program if way == "together" else one_by_one)(config, seeds)
    for _ in range(2):
        tick()
    send("warm")
    ticks = [(time.monotonic(), 0)]
    while not should_stop():
        count = tick()
        ticks.append((time.monotonic(), count))
    return ticks


def throughput(way: str, config: RunConfig, seeds: int, seconds: float, jobs: int) -> float:
    """Tokens a second of all processes of one way, while all of them train."""
    count = jobs if way == "jobs" else 1
    warm: list[float] = []
    results: list[Any] = []
    in_processes(
        [(way, config, seeds)] * count,
        train,
        core_shares(count),
        lambda number, said: warm.append(time.monotonic()),
        lambda number, result: bool(results.append(result)),
        lambda: len(warm) == count and time.monotonic() > warm[-1] + seconds,
    )
    for result in results:
        if isinstance(result, Died):
            raise SystemExit(f"{way}: {result.reason}")
    return sum(rate(ticks, warm[-1]) for ticks in results)


def rate(ticks: list[tuple[float, int]], since: float) -> float:
    """Tokens a second from the first tick that ended after `since` on; at least `LEAST` ticks count."""
    first = min(next((n for n, (end, _) in enumerate(ticks) if end >= since), len(ticks)), len(ticks) - 1 - LEAST)
    first = max(first, 0)
    return sum(count for _, count in ticks[first + 1 :]) / (ticks[-1][0] - ticks[first][0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="windows of each way (3)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of a window (15)")
    parser.add_argument("--seeds", type=int, default=10, help="runs in the sweep (10)")
    parser.add_argument("--only", default="", metavar="SIZE", help="sizes whose name starts so (all)")
    parser.add_argument("--quick", action="store_true", help="a tiny model, one round: checks that it runs")
    arguments = parser.parse_args()
    rounds, seconds, seeds = arguments.rounds, arguments.seconds, arguments.seeds
    if arguments.quick:
        rounds, seconds, seeds = 1, 0.2, 3
    jobs = min(usable_cores(), seeds)
    rows = []
    chosen = {name: c for name, c in sizes(arguments.quick).items() if name.startswith(arguments.only)}
    for name, config in chosen.items():
        measured: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way in WAYS:
                measured[way].append(throughput(way, config, seeds, seconds, jobs))
        times = {way: [1 / value for value in values] for way, values in measured.items()}  # of a token
        row = [name, f"{statistics.median(measured['serial']):,.0f}"]
        for way in WAYS[1:]:
            row.append("{:.2f} / {:.2f}".format(*ratios(times, "serial", way)))
        rows.append(tuple(row))
        print(f"measured {name}", flush=True)
    print(f"\n{processor()} ({generation()}), {jobs} cores; {seeds} seeds, {rounds} rounds of {seconds:g} s\n")
    print(table(("size", "serial tokens/s", f"{jobs} jobs (best / median)", "together (best / median)"), rows))


if __name__ == "__main__":
    main()
