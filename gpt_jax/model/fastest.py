"""Which type of operands makes products fastest on this machine: measured once, and kept with the cache.

Which one it is depends on the processor. With float32 activations, bfloat16 operands were twice as fast as float32 ones
on a processor with bfloat16 units, and slower on one without.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress

import jax
import jax.numpy as jnp
import jaxlib

from gpt_jax.disk import cache_root, read_json, write_atomically
from gpt_jax.errors import InputError
from gpt_jax.machine import generation, processor, usable_cores, vector_units
from gpt_jax.model.products import product

TYPES = ("float32", "bfloat16")
ROWS, INPUTS, OUTPUTS = 1024, 512, 2048  # 6.4 GFLOP, forward and backward
ROUNDS = 6
CLEARLY = 0.95  # the part of float32's time below which bfloat16 is taken: its numbers are the coarser ones


def machine() -> str:
    """What the costs of products turn on, in words: processor, generation, units, cores, or device; the compiler."""
    device = jax.devices()[0].device_kind
    cores = usable_cores()
    kind = ", ".join(filter(None, (generation(), vector_units())))
    where = f"{processor()} ({kind}), {cores} core{'s' if cores != 1 else ''}"
    return f"{where if device == 'cpu' else device}, jaxlib {jaxlib.__version__}"


def product_seconds() -> dict[str, float]:
    """Seconds of a product and its two gradients by the operands' type, on this machine.

    float32 `(1024, 512)` times `(512, 2048)`, as a training step has them. Measured in a second the first time, and
    kept in `products.json` of the cache, by `machine()`.
    """
    path, name = cache_root() / "products.json", machine()
    known = {}
    with suppress(InputError):
        known = read_json(path, dict)
    found = known.get(name)
    if isinstance(found, dict) and all(isinstance(found.get(kind), float) for kind in TYPES):
        return {kind: found[kind] for kind in TYPES}
    measured = _measured()
    with suppress(OSError):  # a cache that is only read: the next run measures again
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({**known, name: measured}, indent=2) + "\n")
    return measured


def fastest_type(seconds: dict[str, float]) -> str:
    """The type of `TYPES` to take: float32, unless bfloat16 is clearly faster."""
    return "bfloat16" if seconds["bfloat16"] < CLEARLY * seconds["float32"] else "float32"


def _measured() -> dict[str, float]:
    """The best of `ROUNDS` rounds of each type; they alternate, so that whatever else slows the machine slows both."""
    x, w = jnp.ones((ROWS, INPUTS), jnp.float32), jnp.ones((INPUTS, OUTPUTS), jnp.float32)

    def both_ways(kind: str):
        dtype = jnp.dtype(kind)
        return jax.jit(jax.value_and_grad(lambda x, w: jnp.square(product(x, w, 1, dtype)).sum(), (0, 1)))

    runs = {kind: both_ways(kind) for kind in TYPES}
    best: dict[str, float] = dict.fromkeys(TYPES, float("inf"))
    for number in range(ROUNDS + 1):
        for kind, run in runs.items():
            started = time.perf_counter()
            jax.block_until_ready(run(x, w))
            if number:  # the first call compiles
                best[kind] = min(best[kind], time.perf_counter() - started)
    return best
