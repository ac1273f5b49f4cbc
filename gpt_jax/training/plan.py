"""From tokens to steps: the steps of a run, and the schedules that are counted in tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gpt_jax.config import OptimizerConfig, RunConfig
from gpt_jax.config.checks import require

MOST_STEPS = 10_000_000  # ten times GPT-1's; a plan holds a number for each


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
    """The steps that a RunConfig's token counts amount to.

    Step t trains on the next `sequences[t]` sequences: a whole batch, or fewer while the batch ramps up. The compiled
    step has one shape, `accumulation` micro-batches of `micro_batch` sequences; the places that a step does not fill
    are padding.
    """

    micro_batch: int
    accumulation: int
    context_length: int
    sequences: np.ndarray  # int64 (steps,)

    @property
    def steps(self) -> int:
        return len(self.sequences)

    @property
    def first_sequence(self) -> np.ndarray:
        """The sequences taken before step t, for t in 0..steps: int64 (steps + 1,)."""
        return np.concatenate([[0], np.cumsum(self.sequences)])

    @property
    def tokens(self) -> np.ndarray:
        """The tokens seen before step t, for t in 0..steps: int64 (steps + 1,)."""
        return self.first_sequence * self.context_length

    def due(self, every_tokens: int) -> set[int]:
        """The numbers of finished steps (1..steps) at which something is due that happens `every_tokens`."""
        crossed = self.tokens // every_tokens
        return {int(t) for t in np.nonzero(np.diff(crossed) > 0)[0] + 1}


def make_plan(config: RunConfig, parts: int = 1) -> Plan:
    """The steps of a run whose batches are split over `parts` devices. The last step may pass `train_tokens` by less
    than a batch.

    While the batch ramps, its size is the ramp's at the tokens seen so far, rounded down to whole multiples of what
    divides the first batch and the full one: which sequences a step trains on does not depend on the micro-batch or on
    the devices. Without `training.micro_batch`, a batch that ramps is cut into the smallest micro-batches that divide
    it, that the first batch fits and that the devices share evenly; another batch is one micro-batch.
    """
    training, context = config.training, config.model.context_length
    full, start = training.batch_tokens // context, max(1, training.batch_ramp_start // context)
    ramping, unit = training.batch_ramp_tokens > 0, math.gcd(full, start)
    first = min(full, start) if training.batch_ramp_tokens else full  # sequences
    require(
        training.train_tokens <= MOST_STEPS * first * context,
        "training.train_tokens",
        training.train_tokens,
        f"at most {MOST_STEPS:,} steps, of {first * context:,} tokens at first",
    )
    micro = training.micro_batch or (_smallest_share(full, math.lcm(unit, parts)) if ramping else full)
    sizes: list[int] = []
    seen = 0  # tokens
    while ramping and seen < min(training.batch_ramp_tokens, training.train_tokens):
        part = seen / training.batch_ramp_tokens
        size = training.batch_ramp_start + part * (training.batch_tokens - training.batch_ramp_start)
        sizes.append(int(np.clip(size // (unit * context), 1, full // unit)) * unit)
        seen += sizes[-1] * context
    left = max(0, math.ceil((training.train_tokens - seen) / training.batch_tokens))
    return Plan(micro, full // micro, context, np.array(sizes + [full] * left, np.int64))


def _smallest_share(full: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that divides `full`; `full` itself where there is none."""
    return next((size for size in range(multiple, full, multiple) if full % size == 0), full)
