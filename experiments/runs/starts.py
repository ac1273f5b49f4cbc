"""What a claim's fine-tunings start from: which of it is missing, and how long it takes to make it here."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from experiments import experiment as experiments
from experiments.experiment import Experiment, Start
from experiments.runs.compute import compute
from gpt_jax.config import RunConfig

SHARE = 0.25  # of a matrix product's speed that a small model's training reaches here (docs/LOG.md)
PROBE = 768  # rows and columns of the products that are timed


def missing(e: Experiment, scale: str, configs: Iterable[RunConfig]) -> tuple[Start, ...]:
    """The declared starts that `configs` name as their weights, and that are neither runs nor weights here."""
    wanted = {part.strip() for config in configs for part in (config.finetuning.weights or "").split(",")}
    return tuple(start for start in e.scale(scale).needs if start.folder in wanted and not is_made(start))


def is_made(start: Start) -> bool:
    """Whether its run is finished, or other weights lie in its place."""
    folder = Path(start.folder)
    return (folder / "result.json").exists() or (folder / "model.safetensors").exists()


def described(starts: Iterable[Start]) -> str:
    """What is missing and how long it takes here, in words: "books large (scale cpu, about 40 minutes here)"."""
    speed = measured_speed()
    return "; ".join(
        f"{start} (scale {start.scale}, {seconds_in_words(flops(start) / speed)} here)" for start in starts
    )


def flops(start: Start) -> float:
    """The floating-point operations of a start's training."""
    return compute([experiments.load(start.claim).config(start.arm, start.scale, start.seed)]).flops


def measured_speed() -> float:
    """FLOP/s that a small model's training may reach here: a share of that of products of float32, timed for a moment.

    It is a guess within a factor of two, for a person who decides whether to wait.
    """
    a = np.ones((PROBE, PROBE), np.float32)
    best = min(_seconds(a) for _ in range(5))
    return SHARE * 2 * PROBE**3 / best


def _seconds(a: np.ndarray) -> float:
    started = time.perf_counter()
    np.matmul(a, a)
    return time.perf_counter() - started


def seconds_in_words(seconds: float) -> str:
    """A rough time: "about 40 seconds", "about 25 minutes", "about 3 hours"."""
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * size:
            return f"about {seconds / size:.0f} {unit}s"
    return f"about {max(seconds, 1):.0f} seconds"
