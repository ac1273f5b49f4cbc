"""How long a run is, and how often anything else happens: all in tokens."""

from __future__ import annotations

from dataclasses import dataclass

from gpt_jax.config.checks import check_sizes, require

MOST_TOKENS = 10**14  # three hundred times GPT-3's training


@dataclass(frozen=True)
class TrainingConfig:
    """How long, how much at once, and how often anything else happens: all in tokens.

    `micro_batch` is the sequences of one forward and backward pass over all devices; none: the whole batch.
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
    evaluation_tokens: int | None = None  # none: the whole validation split
    checkpoint_every_tokens: int = 1_000_000
    keep_last: int = 2
    keep_best: int = 1
    sample_every_tokens: int = 1_000_000
    sample_tokens: int = 100
    sample_prompt: str = "\n"
    tensorboard: bool = False

    def __post_init__(self):
        check_sizes(self, "training", {"train_tokens": MOST_TOKENS, "batch_tokens": MOST_TOKENS})
        positive = (
            "train_tokens", "batch_tokens", "log_every_tokens", "evaluate_every_tokens", "checkpoint_every_tokens",
            "sample_every_tokens", "keep_last", "sample_tokens", "batch_ramp_start",
        )  # fmt: skip
        for name in positive:
            require(getattr(self, name) >= 1, f"training.{name}", getattr(self, name), "at least 1")
        for name in ("seed", "keep_best", "batch_ramp_tokens"):
            require(getattr(self, name) >= 0, f"training.{name}", getattr(self, name), "at least 0")
        for name in ("micro_batch", "evaluation_tokens"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"training.{name}", value, "at least 1, or none")
        require(self.seed < 2**32, "training.seed", self.seed, "below 2**32")
