"""Every config on a TPU slice that suits it, compiled ahead of time: the table of docs/SCALING.md.

python benchmarks/slices.py                     # all, about half a minute each; needs libtpu (extra `tpu`)
python benchmarks/slices.py --only gpt3-175b    # rows whose config starts so
python benchmarks/slices.py --peer              # the settings that MaxText's published figures here are for
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import configs
from gpt_jax.config import override
from gpt_jax.errors import InputError
from gpt_jax.parallel.ahead import compile_ahead, parse_mesh
from gpt_jax.parallel.chips import GIB

# config, topology, mesh, other changes. A row of a recipe alone is the slice that the recipe names.
Row = tuple[str, str, str, Mapping[str, Any]]
RECIPES = [name for name in configs.names() if not name.endswith(("-dense", "-strided"))]
ROWS: list[Row] = [
    *((name, s.topology, s.mesh, s.changes) for name in RECIPES if (s := configs.recipe(name).slice) is not None),
    ("gpt3-175b", "v5p:8x8x8", "fsdp=64,tensor=8", {"training.micro_batch": 1536}),
    ("gpt3-175b", "v5p:4x4x4", "fsdp=8,tensor=8", {"training.micro_batch": 64}),
    ("gpt3-175b", "v5p:2x4x4", "fsdp=8,tensor=4", {"training.micro_batch": 32}),
    ("gpt3-175b-strided", "v5p:8x8x8", "fsdp=64,tensor=8", {"training.micro_batch": 512}),
]
WHOLE = {"training.batch_ramp_tokens": 0}  # one micro-batch
PEER: list[Row] = [
    ("gpt2-1.5b", "v5e:4x4", "fsdp=16", {"training.batch_tokens": 128 * 1024}),
    ("gpt3-175b", "v5p:8x8x8", "fsdp=64,tensor=8", {"training.batch_tokens": 512 * 2048, **WHOLE}),
    ("gpt3-175b-dense", "v5p:8x8x8", "fsdp=64,tensor=8", {"training.batch_tokens": 512 * 2048, **WHOLE}),
    ("gpt3-175b", "v5p:8x8x8", "fsdp=64,tensor=8", WHOLE),
    ("gpt3-175b-dense", "v5p:8x8x8", "fsdp=64,tensor=8", WHOLE),
]
COLUMNS = ("config", "slice", "mesh", "micro-batches", "arguments", "peak", "of", "sent", "step at best", "fits")


def row(name: str, topology: str, mesh: str, changes: Mapping[str, Any]) -> tuple[str, ...]:
    """One line of the table: GiB on each device, GiB sent by each device in a step, seconds."""
    config = dataclasses.replace(override(configs.get(name), changes), mesh=parse_mesh(mesh))
    report = compile_ahead(config, topology)
    sent = sum(b for _, b in report.collectives.values())
    sizes = (report.argument_bytes, report.peak_bytes, report.memory_bytes, sent)
    arguments, peak, memory, moved = (f"{size / GIB:.2f}" for size in sizes)
    batches = f"{report.accumulation} x {report.micro_batch} x {config.model.context_length}"
    verdict = "yes" if report.fits else f"no: {report.missing_bytes / GIB:.1f} GiB missing"
    return name, topology, mesh, batches, arguments, peak, memory, moved, f"{report.step_seconds:.2f} s", verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", metavar="CONFIG", help="rows whose config starts so")
    parser.add_argument("--peer", action="store_true", help="MaxText's settings")
    arguments = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    for one in PEER if arguments.peer else ROWS:
        if one[0].startswith(arguments.only):
            started = time.perf_counter()
            try:
                print("| " + " | ".join(row(*one)) + f" |  <!-- {time.perf_counter() - started:.0f} s -->", flush=True)
            except InputError as error:
                print(f"| {one[0]} | {one[1]} | {error} |", flush=True)


if __name__ == "__main__":
    main()
