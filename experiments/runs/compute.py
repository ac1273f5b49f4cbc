"""What an experiment costs before it is run: tokens, parameters and floating-point operations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gpt_jax.config import RunConfig
from gpt_jax.model.costs import train_flops_per_token


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
    from experiments.runs.kinds import kind_of
    from gpt_jax.model.costs import parameter_count

    runs, tokens, flops, models = 0, 0, 0.0, {}
    for config in configs:
        run_tokens = kind_of(config).tokens(config)
        runs, tokens = runs + 1, tokens + run_tokens
        flops += run_tokens * train_flops_per_token(config.model)
        models[config.model] = None
    return Compute(runs, tokens, flops, tuple(sorted({parameter_count(model) for model in models})))
