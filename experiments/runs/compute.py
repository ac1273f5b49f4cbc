"""What an experiment costs before it is run: tokens, parameters and floating-point operations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gpt_jax.config import RunConfig
from gpt_jax.model.costs import train_flops_per_token
from gpt_jax.training.plan import make_plan


@dataclass(frozen=True)
class Compute:
    """Sums over runs; `parameters` holds the distinct counts, ascending."""

    runs: int
    tokens: int
    flops: float
    parameters: tuple[int, ...]

    def __str__(self) -> str:
        sizes = " to ".join(f"{n:,}" for n in dict.fromkeys((self.parameters[0], self.parameters[-1])))
        return f"{self.runs} runs, {self.tokens:,} tokens, {self.flops:.3g} FLOP, {sizes} parameters"


def compute(configs: Iterable[RunConfig]) -> Compute:
    """The cost of training all of `configs`, evaluation apart. Starts JAX for the shapes; allocates nothing."""
    from gpt_jax.model.costs import parameter_count

    runs, tokens, flops, models = 0, 0, 0.0, {}
    for config in configs:
        run_tokens = training_tokens(config)
        runs, tokens = runs + 1, tokens + run_tokens
        flops += run_tokens * train_flops_per_token(config.model)
        models[config.model] = None
    return Compute(runs, tokens, flops, tuple(sorted({parameter_count(model) for model in models})))


def training_tokens(config: RunConfig) -> int:
    """The tokens a run trains on; fine-tuning's are counted with their padding, and 0 where only its data tells."""
    settings = config.finetuning
    if settings.task is None:
        return int(make_plan(config).tokens[-1])
    return settings.epochs * (settings.examples or 0) * (settings.max_length or 0)
