"""From tokens to steps: what a run's sizes amount to, and the schedules that are counted in tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gpt_jax.config import OptimizerConfig, RunConfig


def learning_rate(config: OptimizerConfig, tokens: np.ndarray | float, train_tokens: int) -> np.ndarray:
    """The learning rate after `tokens` have been seen (float64).

    Linear from 0 over `warmup_tokens`, then from learning_rate to final_fraction * learning_rate at
    `decay_tokens` (none: `train_tokens`), and constant from there. Cosine to 0: GPT-1, section 4.1. Cosine to
    10 % at 260 billion tokens, then constant: GPT-3, appendix B.
    """
    tokens = np.asarray(tokens, np.float64)
    end = train_tokens if config.decay_tokens is None else config.decay_tokens
    warm = tokens / config.warmup_tokens if config.warmup_tokens else np.ones_like(tokens)
    part = np.clip((tokens - config.warmup_tokens) / max(end - config.warmup_tokens, 1), 0, 1)
    shape = {"cosine": (1 + np.cos(np.pi * part)) / 2, "linear": 1 - part, "constant": np.ones_like(part)}
    floor = config.final_fraction
    decay = floor + (1 - floor) * shape[config.schedule] if config.schedule != "constant" else shape["constant"]
    return config.learning_rate * np.minimum(warm, 1) * np.where(tokens < config.warmup_tokens, 1, decay)


@dataclass(frozen=True)
class Plan:
    """What a RunConfig's token counts amount to.

    `micro_batch` is in sequences, `accumulation` the micro-batches of a full batch. `micro_batches[t]` is how
    many step t takes: fewer than `accumulation` while the batch ramps up.
    """

    micro_batch: int
    accumulation: int
    context_length: int
    micro_batches: np.ndarray  # int64 (steps,)

    @property
    def steps(self) -> int:
        return len(self.micro_batches)

    @property
    def first_micro_batch(self) -> np.ndarray:
        """The micro-batches taken before step t, for t in 0..steps: int64 (steps + 1,)."""
        return np.concatenate([[0], np.cumsum(self.micro_batches)])

    @property
    def tokens(self) -> np.ndarray:
        """The tokens seen before step t, for t in 0..steps: int64 (steps + 1,)."""
        return self.first_micro_batch * self.micro_batch * self.context_length

    def due(self, every_tokens: int) -> set[int]:
        """The numbers of finished steps (1..steps) at which something is due that happens `every_tokens`."""
        crossed = self.tokens // every_tokens
        return {int(t) for t in np.nonzero(np.diff(crossed) > 0)[0] + 1}


def make_plan(config: RunConfig) -> Plan:
    """The steps of a run. The last step may pass `train_tokens` by less than a batch.

    While the batch ramps, its size is the ramp's at the tokens seen so far, rounded down to whole
    micro-batches (at least one).
    """
    training, context = config.training, config.model.context_length
    sequences = training.batch_tokens // context
    ramping = training.batch_ramp_tokens > 0
    start = max(1, training.batch_ramp_start // context)
    micro = training.micro_batch or (math.gcd(sequences, start) if ramping else sequences)
    accumulation, micro_tokens = sequences // micro, micro * context
    counts: list[int] = []
    seen = 0
    while ramping and seen < min(training.batch_ramp_tokens, training.train_tokens):
        part = seen / training.batch_ramp_tokens
        size = training.batch_ramp_start + part * (training.batch_tokens - training.batch_ramp_start)
        counts.append(int(np.clip(size // micro_tokens, 1, accumulation)))
        seen += counts[-1] * micro_tokens
    left = max(0, math.ceil((training.train_tokens - seen) / training.batch_tokens))
    return Plan(micro, accumulation, context, np.array(counts + [accumulation] * left, np.int64))
