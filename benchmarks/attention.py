"""Attention by blocks beside attention through the mask, pattern by pattern and length by length, in one run.

Every row compares with the mask of the same pattern at the same length, which computes all n x n pairs. `of limit`
is the speed-up as a part of the FLOP ratio: n x n over the pairs that the pattern allows.

    python benchmarks/attention.py                                   # n = 512 .. 4096, about 6 minutes on 2 cores
    python benchmarks/attention.py --quick                           # one short length, 2 rounds: does it run?
    python benchmarks/attention.py --lengths 4096 --patterns "Strided(64), Dense()"
    python benchmarks/attention.py --lengths 65536 --patterns "Strided(256)" --no-mask   # too long for a mask
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from machine import HAS_TORCH, alternate, ratios, table, where

from gpt_jax.attention import attend
from gpt_jax.attention.costs import attention_flops, computed_pairs, pairs
from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Pattern, Strided, parse_patterns
from gpt_jax.training.host_memory import keep_freed_memory

BATCH, HEADS, WIDTH = 1, 4, 64


def patterns_for(length: int) -> tuple[Pattern, ...]:
    """Strides near the cheapest, sqrt(n / 2); windows alike."""
    k = 1 << round(np.log2(length / 2) / 2)
    k = max(k, 32) if length < 4096 else max(k, 64)
    return Dense(), Banded(k), Strided(k), Fixed(block=2 * k, summary=8), LogSparse(32)


def timed(attention: Callable[..., jax.Array], arrays: tuple[jax.Array, ...], backward: bool) -> Callable[[], object]:
    """One forward pass, or one forward and backward pass, compiled."""
    run = jax.jit(attention)
    if backward:
        run = jax.jit(jax.grad(lambda q, k, v: (attention(q, k, v) * q).sum(), (0, 1, 2)))
    return lambda: jax.block_until_ready(run(*arrays))


def torch_timed(arrays: tuple[jax.Array, ...], backward: bool) -> Callable[[], object]:
    """PyTorch's causal scaled_dot_product_attention on the same numbers; its gradients too."""
    import torch

    q, k, v = (torch.from_numpy(np.array(x)).transpose(1, 2).contiguous().requires_grad_(backward) for x in arrays)

    def run():
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        if backward:
            torch.autograd.grad((out * q).sum(), (q, k, v))

    return run


def compare(
    pattern: Pattern, length: int, rounds: int, dtype: str, with_mask: bool, peers: bool
) -> list[tuple[str, ...]]:
    """Rows of the table for one pattern at one length: forward, and forward with backward."""
    random = np.random.default_rng(0)
    q, k, v = (jnp.asarray(random.normal(size=(BATCH, length, HEADS, WIDTH)), dtype) for _ in range(3))
    rows = []
    for backward in (False, True):
        runs = {"block": timed(functools.partial(attend, pattern=pattern, implementation="block"), (q, k, v), backward)}
        if with_mask:
            masked = functools.partial(attend, pattern=pattern, implementation="mask")
            runs["mask"] = timed(masked, (q, k, v), backward)
        if peers and isinstance(pattern, Dense):
            dot_product = functools.partial(jax.nn.dot_product_attention, is_causal=True)
            runs["jax.nn"] = timed(dot_product, (q, k, v), backward)
            if HAS_TORCH:
                runs["torch"] = torch_timed((q, k, v), backward)
        times = alternate(runs, rounds)
        best = {name: min(values) for name, values in times.items()}
        flops = attention_flops(pattern, length, HEADS, WIDTH) * BATCH * (3 if backward else 1)
        row = [repr(pattern), str(length), "forward+backward" if backward else "forward", f"{best['block'] * 1e3:.1f}"]
        row.append(f"{flops / best['block'] / 1e9:.1f}")
        limit = length**2 / pairs(pattern, length)
        if with_mask:
            by_best, by_median = ratios(times, "mask", "block")
            row += [f"{best['mask'] * 1e3:.1f}", f"{by_best:.1f} / {by_median:.1f}"]
            row += [f"{limit:.1f}", f"{by_best / limit:.0%}"]
        else:
            row += ["-", "-", f"{limit:.1f}", "-"]
        row.append(f"{length**2 / computed_pairs(pattern, length):.1f}")
        row.append(
            ", ".join(f"{name} {ratios(times, name, 'block')[0]:.2f}" for name in ("jax.nn", "torch") if name in runs)
        )
        rows.append(tuple(row))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048, 4096], help="tokens")
    parser.add_argument("--patterns", help='such as "Dense(), Strided(64)"; default: all, sized by the length')
    parser.add_argument("--rounds", type=int, default=5, help="timed calls of each, alternating")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--no-mask", action="store_true", help="leave the mask out, for lengths it cannot hold")
    parser.add_argument("--quick", action="store_true", help="n = 256, 2 rounds")
    arguments = parser.parse_args()
    keep_freed_memory()  # as `python -m experiments` does; it serves the mask and the blocks alike
    lengths, rounds = ([256], 2) if arguments.quick else (arguments.lengths, arguments.rounds)
    header = (
        "pattern",
        "n",
        "pass",
        "block ms",
        "GFLOP/s of pairs",
        "mask ms",
        "faster (best / median)",
        "FLOP ratio",
        "of limit",
        "ratio computed",
        "faster than",
    )
    print(where())
    print(
        f"batch {BATCH}, {HEADS} heads of {WIDTH}, {arguments.dtype}, {jax.devices()[0].device_kind}; "
        f"best of {rounds} alternating rounds\n"
    )
    rows = []
    for length in lengths:
        for pattern in parse_patterns(arguments.patterns) if arguments.patterns else patterns_for(length):
            rows += compare(
                pattern, length, rounds, arguments.dtype, not arguments.no_mask, arguments.dtype == "float32"
            )
    print(table(header, rows))
    print("\n`ratio computed` is n x n over the weights that block attention forms: what its matrix products allow.")


if __name__ == "__main__":
    main()
