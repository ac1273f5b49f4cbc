"""What products of a few rows cost, by how the weights are held: the work of decoding, which is bound by reading them.

Each row is 24 matrices of 768 x 3,072, the size of GPT-2's feed-forward layers; all ways alternate in one run. "turned"
weights are held as (outputs, inputs). "dequantized" int8 is made float32 in front of the product, and a "loop" is a
multiplication and a sum. `Int8.product` is what the model runs: it rounds activations, and multiplies one row twice.

    python benchmarks/rows.py                # half a minute on 2 CPU cores
    python benchmarks/rows.py --quick        # two small matrices: does it run?
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from machine import alternate, table, where

from gpt_jax.model.int8 import Int8, rounded

INPUTS, OUTPUTS = 768, 3072
ROWS = (1, 2, 8)


def ways(w: jax.Array) -> dict[str, tuple[Callable[..., jax.Array], Any]]:
    """By name: a product `(x, weights) -> x W`, and the matrix `w` `(inputs, outputs)` as it takes it."""
    int8 = Int8.of(w.T, 1)

    def plain(sums, contracted: int = 0):
        return lambda x, w: jax.lax.dot_general(x, w, (((1,), (contracted,)), ((), ())), preferred_element_type=sums)

    def whole(contracted: int):
        return lambda x, w: plain(jnp.int32, contracted)(rounded(x, range(1, 2))[0], w)

    return {
        "float32": (plain(jnp.float32), w),
        "float32, turned": (plain(jnp.float32, 1), w.T),
        "bfloat16": (lambda x, w: plain(jnp.float32)(x.astype(jnp.bfloat16), w), w.astype(jnp.bfloat16)),
        "int8, dequantized": (lambda x, w: plain(jnp.float32)(x, w.astype(jnp.float32)), int8.values.T),
        "int8, loop": (lambda x, w: (x[:, None] * w).sum(-1), int8.values),
        "int8 times int8": (whole(0), int8.values.T),
        "int8 times int8, turned": (whole(1), int8.values),
        "`Int8.product`": (lambda x, w: w.product(x), int8),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two matrices of 64 x 96, two rounds")
    arguments = parser.parse_args()
    count, rounds, (inputs, outputs) = (2, 2, (64, 96)) if arguments.quick else (24, 12, (INPUTS, OUTPUTS))

    matrices = jax.random.normal(jax.random.key(0), (count, inputs, outputs))
    made = [ways(w) for w in matrices]
    found: dict[str, list[str]] = {}
    for rows in ROWS:
        x, runs = jax.random.normal(jax.random.key(1), (rows, inputs)), {}
        for name, (product, _) in made[0].items():
            held = [way[name][1] for way in made]
            run = jax.jit(lambda x, held, product=product: [product(x, w) for w in held])
            runs[name] = lambda run=run, x=x, held=held: jax.block_until_ready(run(x, held))
        for name, values in alternate(runs, rounds).items():
            found.setdefault(name, []).append(f"{1e3 * min(values):.2f} ms")
    size = {name: sum(leaf.nbytes for leaf in jax.tree.leaves(way[1])) * count for name, way in made[0].items()}
    print(where())
    header = ("weights", "MB", *(f"{rows} row{'s' * (rows > 1)}" for rows in ROWS))
    print(table(header, [(name, f"{size[name] / 1e6:.0f}", *times) for name, times in found.items()]))


if __name__ == "__main__":
    main()
