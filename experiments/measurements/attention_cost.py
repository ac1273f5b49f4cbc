"""The cost of one attention layer as texts grow: time, memory and pairs against the length, and their exponents."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from experiments.experiment import FinishedRun
from gpt_jax.attention.patterns import Fixed, Pattern, Strided

HEADS, WIDTH = 4, 64
LENGTHS = {"smoke": (256, 512, 1024), "cpu": tuple(512 * 2**n for n in range(7))}


def sized(pattern: Pattern, length: int) -> Pattern:
    """`pattern` as one would size it for `length`: strides and blocks grow like its square root, bands do not."""
    root = math.isqrt(length)
    if isinstance(pattern, Strided):
        return Strided(root)
    if isinstance(pattern, Fixed):
        return Fixed(block=2 * root, summary=max(1, root // 2))
    return pattern


def exponent(lengths: Sequence[int], costs: Sequence[float]) -> float:
    """The slope of log(cost) over log(length), by least squares."""
    return float(np.polyfit(np.log(lengths), np.log(costs), 1)[0])


def forward_and_backward(pattern: Pattern, length: int, repeats: int = 2) -> tuple[float, int]:
    """Seconds (the best of `repeats`) and bytes of temporaries of one layer, 4 heads of 64, float32, batch 1."""
    import jax
    import jax.numpy as jnp

    from gpt_jax.attention import attend

    q, k, v = jax.random.normal(jax.random.key(0), (3, 1, length, HEADS, WIDTH))
    gradient = jax.jit(jax.grad(lambda q, k, v: jnp.square(attend(q, k, v, pattern, "block")).sum(), argnums=(0, 1, 2)))
    compiled = gradient.lower(q, k, v).compile()
    seconds = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(compiled(q, k, v))
        seconds = min(seconds, time.perf_counter() - start)
    memory = compiled.memory_analysis()
    return seconds, int(memory.temp_size_in_bytes) if memory is not None else 0


def cost_by_length(run: FinishedRun) -> dict[str, float | list[float]]:
    """The cost of a layer of the run's attention, the mean over a period, at growing lengths.

    Training does not change the cost, so it is measured at seed 0 only. Lengths reach 32,768, except at the smoke
    scale. The memory is that of the compiled program's temporaries. Only figures named `time/...` depend on the clock.
    """
    from gpt_jax.attention.costs import attention_flops, pairs

    if run.identity.seed > 0:
        return {}
    lengths = LENGTHS["smoke" if run.identity.scale == "smoke" else "cpu"]
    seconds, mebibytes, counted, flops = [], [], [], []
    for length in lengths:
        layers = [sized(pattern, length) for pattern in run.config.model.attention]
        measured = {pattern: forward_and_backward(pattern, length) for pattern in dict.fromkeys(layers)}
        seconds.append(float(np.mean([measured[pattern][0] for pattern in layers])))
        mebibytes.append(float(np.mean([measured[pattern][1] for pattern in layers])) / 2**20)
        counted.append(float(np.mean([pairs(pattern, length) for pattern in layers])))
        flops.append(float(np.mean([3 * attention_flops(pattern, length, HEADS, WIDTH) for pattern in layers])))
    return {
        "cost/lengths": [float(length) for length in lengths],
        "cost/pairs_by_length": counted,
        "cost/flop_by_length": flops,
        "cost/mebibytes_by_length": mebibytes,
        "time/seconds_by_length": seconds,
        "cost/pairs_exponent": exponent(lengths, counted),
        "cost/memory_exponent": exponent(lengths, mebibytes),
        "time/exponent": exponent(lengths, seconds),
    }
