"""What this machine can do at best, and a fair way to time things beside each other.

`python benchmarks/machine.py` prints the matrix-product peaks and the memory bandwidth.
"""

from __future__ import annotations

import importlib.util
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.model.fastest import machine

HAS_TORCH = importlib.util.find_spec("torch") is not None


def where() -> str:
    """What the figures are of: the processor, its cores and vector units, and versions."""
    names = ("jax", "torch", "transformers") if HAS_TORCH else ("jax",)
    versions = [f"{name} {version(name)}" for name in names if importlib.util.find_spec(name)]
    return f"{machine()}, {', '.join(versions)}, Python {platform.python_version()}\n"


def seconds(run: Callable[[], object]) -> float:
    """One call of `run`, which must wait for its own result."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def alternate(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run in each round. One call of each warms it up; then every round calls each in turn, so that
    whatever else slows the machine meets all of them."""
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(seconds(run))
    return times


def ratios(times: dict[str, list[float]], base: str, other: str) -> tuple[float, float]:
    """How many times faster `other` is than `base`: by their best rounds, and the median of the paired rounds."""
    paired = [b / o for b, o in zip(times[base], times[other], strict=True)]
    return min(times[base]) / min(times[other]), statistics.median(paired)


def matmul_peaks(size: int = 2048, repeats: int = 4) -> dict[str, float]:
    """FLOP/s of a square matrix product: the best of `repeats`, by kind."""
    generator = np.random.default_rng(0)
    a, b = (generator.normal(size=(size, size)).astype(np.float32) for _ in range(2))
    runs = {}
    for name, dtype, result in (
        ("xla float32", "float32", "float32"),
        ("xla bfloat16", "bfloat16", "bfloat16"),
        ("xla bfloat16, float32 sums", "bfloat16", "float32"),
    ):
        x, y = jnp.asarray(a, dtype), jnp.asarray(b, dtype)
        product = jax.jit(lambda x, y, result=result: jnp.matmul(x, y, preferred_element_type=result))
        runs[name] = lambda product=product, x=x, y=y: product(x, y).block_until_ready()
    if HAS_TORCH:
        import torch

        for dtype in (torch.float32, torch.bfloat16):
            x, y = torch.from_numpy(a).to(dtype), torch.from_numpy(b).to(dtype)
            runs[f"torch {str(dtype).removeprefix('torch.')}"] = lambda x=x, y=y: x @ y
    times = alternate(runs, repeats)
    return {name: 2 * size**3 / min(values) for name, values in times.items()}


def memory_bandwidth(megabytes: int = 512, repeats: int = 6) -> dict[str, float]:
    """Bytes/s read by a matrix-vector product over a float32 matrix far larger than the caches, by library."""
    rows, columns = megabytes * 256, 1024
    matrix, vector = np.ones((rows, columns), np.float32), np.ones(columns, np.float32)
    on_device, x = jnp.asarray(matrix), jnp.asarray(vector)
    product = jax.jit(jnp.matmul)
    runs: dict[str, Callable[[], object]] = {
        "numpy": lambda: matrix @ vector,
        "xla": lambda: product(on_device, x).block_until_ready(),
    }
    if HAS_TORCH:
        import torch

        theirs, y = torch.from_numpy(matrix), torch.from_numpy(vector)
        runs["torch"] = lambda: theirs @ y
    times = alternate(runs, repeats)
    return {name: matrix.nbytes / min(values) for name, values in times.items()}


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table with aligned columns."""
    widths = [max(len(row[n]) for row in [header, *rows]) for n in range(len(header))]

    def line(row: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"

    return "\n".join([line(header), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)])


if __name__ == "__main__":
    print(where())
    peaks = [(name, f"{value / 1e9:.0f} GFLOP/s") for name, value in matmul_peaks().items()]
    bandwidths = [(name, f"{value / 1e9:.1f} GB/s") for name, value in memory_bandwidth().items()]
    print(table(("matrix product, 2048 square", "best"), peaks), "\n")
    print(table(("memory read, 512 MB", "best"), bandwidths))
