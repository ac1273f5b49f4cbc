"""The parts of `accelerator.py` that measure attention: exact beside its mask, and fast beside dense attention."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from machine import alternate

from gpt_jax.attention import attend
from gpt_jax.attention.kernels import choose, first_keys, kernel_attention
from gpt_jax.attention.masked import masked_attention
from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Pattern, Strided
from gpt_jax.sharding import on_cuda

Row = dict[str, Any]


def half() -> str:
    """Kernels take 16 bits; XLA's CPU is for the quick mode alone."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def patterns(length: int) -> tuple[Pattern, ...]:
    """Strides near the cheapest, and no piece too short for a kernel."""
    k = max(16, min(128, length // 256))
    return Dense(), Banded(256), Strided(k), Fixed(max(64, k), 1), LogSparse(128)


def beside_mask(length: int) -> Iterator[Row]:
    """Each pattern's value and gradients over `length` tokens, and a token's over a cache, against the mask's."""
    for pattern in patterns(length):
        kernel, reason = choose(pattern, jax.default_backend(), half(), 64, length, 0.0)
        row = {"pattern": str(pattern), "tokens": length, "computed by": kernel or f"block ({reason})"}
        x = np.random.default_rng(0).normal(size=(4, 1, length, 1, 64))
        q, k, v, bar = jnp.asarray(x, half())
        i = jnp.arange(length)
        mask_BTS = pattern.allows(i[:, None], i[None, :])[None]
        by_mask = functools.partial(masked_attention, mask_BTS=mask_BTS)
        ours = functools.partial(attend, pattern=pattern, implementation="block")
        if kernel is not None:
            ours = functools.partial(kernel_attention, pattern=pattern, kernel=kernel)

        def both(attention: Callable, *arrays):
            out, pull = jax.vjp(attention, *arrays[:3])
            return out, *pull(arrays[3].astype(out.dtype))

        got = jax.jit(functools.partial(both, ours))(q, k, v, bar)
        expected = jax.jit(functools.partial(both, by_mask))(*(y.astype(jnp.float32) for y in (q, k, v, bar)))
        for name, a, b in zip(("value", "q", "k", "v"), got, expected, strict=True):
            row[name] = difference(a, b)
        yield row
    if on_cuda():  # decoding's one query over the keys that a cache holds
        q, k, v = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, length, 2, 64)), half())
        count = jnp.asarray([1, 2, length // 2, length])
        expected = masked_attention(
            *(y.astype(jnp.float32) for y in (q[:, :1], k, v)), mask_BTS=token_mask(count, length)
        )
        row = {"pattern": "one token over a cache", "tokens": length, "computed by": "cudnn"}
        yield {**row, "value": difference(jax.jit(first_keys)(q[:, :1], k, v, count), expected)}


def token_mask(count: jax.Array, length: int) -> jax.Array:
    return (jnp.arange(length)[None, :] < count[:, None])[:, None, :]


def difference(a: jax.Array, b: jax.Array) -> str:
    return f"{float(jnp.abs(a.astype(jnp.float32) - b).max() / jnp.abs(b).max()):.1e}"


def beside_dense(lengths: tuple[int, ...], rounds: int) -> Iterator[Row]:
    """The time of each pattern, forward and backward, and how many times as fast as dense attention it is."""
    for length in lengths:
        arrays = jnp.asarray(np.random.default_rng(0).normal(size=(3, 1, length, 12, 64)), half())
        runs: dict[str, Callable[[], object]] = {}
        for pattern in patterns(length):
            attention = functools.partial(attend, pattern=pattern)
            run = jax.jit(jax.grad(lambda q, k, v, f=attention: f(q, k, v).astype(jnp.float32).sum(), (0, 1, 2)))
            runs[str(pattern)] = functools.partial(lambda run, x: jax.block_until_ready(run(*x)), run, arrays)
        times = alternate(runs, rounds)
        dense = min(times["Dense()"])
        for pattern in patterns(length):
            best, kernel = min(times[str(pattern)]), choose(pattern, jax.default_backend(), half(), 64, length, 0.0)
            row = {"tokens": length, "pattern": str(pattern), "computed by": kernel.kernel or "block"}
            yield {**row, "ms": f"{best * 1e3:.2f}", "times dense": f"{dense / best:.2f}"}
