"""Adam, its schedule and its decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpt_jax.config.checks import check_values, require


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam, its schedule and its decay. `weight_decay` is decoupled and spares biases and gains.

    "adamw" is optax's; "openai_adam" is GPT-1's released one (training/optimizer.py says how they differ).
    """

    name: Literal["adamw", "openai_adam"] = "adamw"
    learning_rate: float = 2.5e-4
    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    clip_norm: float | None = 1.0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_tokens: int = 0
    decay_tokens: int | None = None  # where the schedule reaches its floor; none: the end of training
    final_fraction: float = 0.0  # the floor, as a part of learning_rate

    def __post_init__(self):
        check_values(self, "optimizer")
        for name in ("learning_rate", "epsilon"):
            require(getattr(self, name) > 0, f"optimizer.{name}", getattr(self, name), "more than 0")
        for name in ("b1", "b2"):
            require(0 <= getattr(self, name) < 1, f"optimizer.{name}", getattr(self, name), "0 <= value < 1")
        for name in ("weight_decay", "warmup_tokens"):
            require(getattr(self, name) >= 0, f"optimizer.{name}", getattr(self, name), "at least 0")
        require(0 <= self.final_fraction <= 1, "optimizer.final_fraction", self.final_fraction, "0 to 1")
        require(
            self.clip_norm is None or self.clip_norm > 0,
            "optimizer.clip_norm", self.clip_norm, "more than 0, or none",
        )  # fmt: skip
        require(
            self.decay_tokens is None or self.decay_tokens >= 1,
            "optimizer.decay_tokens", self.decay_tokens, "at least 1, or none",
        )  # fmt: skip
