"""How long a run is, and how often anything else happens: all in tokens."""

from __future__ import annotations

from dataclasses import dataclass

from gpt_jax.config.checks import Checks


@dataclass(frozen=True)
class TrainingConfig:
    """How long a run is, how large its batch is, and how often anything else happens: all in tokens.

    `micro_batch` is the number of sequences of one forward and backward pass over all devices. None means the whole
    batch, or for a batch that ramps, the smallest part that training/plan.py finds.
    A batch ramp grows the batch linearly from `batch_ramp_start` to `batch_tokens` over `batch_ramp_tokens`
    (GPT-3, appendix B).
    """

    seed: int = 0
    train_tokens: int = 10_000_000
    batch_tokens: int = 65_536
    micro_batch: int | None = None
    batch_ramp_tokens: int = 0
    batch_ramp_start: int = 32_768
    log_every_tokens: int = 1  # at most once a step
    evaluate_every_tokens: int = 1_000_000
    evaluation_tokens: int | None = None  # None: the whole validation split
    checkpoint_every_tokens: int = 1_000_000
    keep_last: int = 2
    keep_best: int = 1
    sample_every_tokens: int = 1_000_000
    sample_tokens: int = 100
    sample_prompt: str = "\n"
    tensorboard: bool = False
    wandb: bool = False

    def __post_init__(self):
        check = Checks(self, "training")
        check.at_least(1, "train_tokens", "batch_tokens", "micro_batch", "batch_ramp_start", "log_every_tokens")
        check.at_least(1, "evaluate_every_tokens", "evaluation_tokens", "checkpoint_every_tokens", "keep_last")
        check.at_least(1, "sample_every_tokens", "sample_tokens")
        check.at_least(0, "seed", "keep_best", "batch_ramp_tokens")
        check.at_most(1_000_000, "sample_tokens", "keep_last", "keep_best")
        check.that("seed", self.seed < 2**32, "below 2**32")
