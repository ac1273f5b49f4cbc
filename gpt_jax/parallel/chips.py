"""Published figures of accelerators, and what share of them a run uses. A chip that is not here is unknown.

Sources: Google Cloud's page of each TPU version; NVIDIA's data sheets (A100, H100, H200: dense bfloat16, half of the
figure "with sparsity"). `kinds` are the names that JAX gives devices; a name is only found whole, because "NVIDIA H100
NVL" and a MIG slice of an H100 are other devices than "NVIDIA H100 80GB HBM3".
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp

GIB = 2**30


@dataclass(frozen=True)
class Chip:
    """One device as JAX counts devices: dense bfloat16 FLOP/s, bytes of memory, bytes/s to it, and bytes/s to its
    neighbours (all links, one direction)."""

    flops: float
    memory: int
    memory_rate: float
    link_rate: float
    kinds: tuple[str, ...]


TPUS = {  # by the name in a topology; a v7x chip is two devices, and its figures are halved
    "v4": Chip(275e12, 32 * GIB, 1228e9, 300e9, ("TPU v4",)),
    "v5e": Chip(197e12, 16 * GIB, 819e9, 200e9, ("TPU v5 lite", "TPU v5e")),
    "v5p": Chip(459e12, 95 * GIB, 2765e9, 600e9, ("TPU v5", "TPU v5p")),
    "v6e": Chip(918e12, 32 * GIB, 1640e9, 400e9, ("TPU v6 lite", "TPU v6e")),
    "tpu7x": Chip(1153e12, 96 * GIB, 3690e9, 600e9, ("TPU7x",)),
}
GPU_FLOPS = {
    **dict.fromkeys(
        (
            "NVIDIA A100-SXM4-40GB",
            "NVIDIA A100-SXM4-80GB",
            "NVIDIA A100-PCIE-40GB",
            "NVIDIA A100 80GB PCIe",
            "NVIDIA A100-PCIE-80GB",
        ),
        312e12,
    ),
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H200": 989e12,
}
PEAK_FLOPS = {**GPU_FLOPS, **{kind: chip.flops for chip in TPUS.values() for kind in chip.kinds}}


def peak_flops() -> float | None:
    """FLOP/s of all devices: the published peak; on a CPU the float32 speed of a product, measured now (0.1 s).

    None where the chip is not in the table, or the clock was set back meanwhile.
    """
    device = jax.devices()[0]
    if device.platform != "cpu":
        one = PEAK_FLOPS.get(device.device_kind)
        return None if one is None else one * jax.device_count()
    size, best = 1024, math.inf
    matmul, x = jax.jit(jnp.matmul), jnp.ones((size, size), jnp.float32)
    for _ in range(6):
        start = time.perf_counter()
        matmul(x, x).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best if best > 0 else None
