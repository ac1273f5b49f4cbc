"""Adam, its schedule and its decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpt_jax.config.checks import Checks


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam, its schedule and its decay. `weight_decay` is decoupled and spares biases and gains.

    "adamw" is optax's Adam. "openai_adam" is the Adam of GPT-1's released code (formulas: training/optimizer.py).
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
    decay_tokens: int | None = None  # where the schedule reaches its floor; None: the end of training
    final_fraction: float = 0.0  # the floor, as a part of learning_rate

    def __post_init__(self):
        check = Checks(self, "optimizer")
        check.above(0, "learning_rate", "epsilon", "clip_norm")
        check.rates("b1", "b2")
        check.at_least(0, "weight_decay", "warmup_tokens")
        check.at_least(1, "decay_tokens")
        check.that("final_fraction", 0 <= self.final_fraction <= 1, "0 to 1")
