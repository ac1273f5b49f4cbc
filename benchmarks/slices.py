"""Every config on a TPU slice that suits it, compiled ahead of time: the table of docs/SCALING.md.

python benchmarks/slices.py                     # all, about half a minute each; needs libtpu (extra `tpu`)
python benchmarks/slices.py --only gpt3-175b    # rows whose config starts so
python benchmarks/slices.py --peer              # the settings that MaxText's published figures here are for
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import configs
from gpt_jax.config import override
from gpt_jax.errors import InputError
from gpt_jax.parallel.ahead import GIB, compile_ahead, parse_mesh

# config, topology, mesh, sequences of a micro-batch (none: the config's batch at once), other changes
Row = tuple[str, str, str, int | None, dict[str, Any]]
ROWS: list[Row] = [
    ("gpt1", "v5e:2x2", "data=4", None, {"model.scan_layers": True, "model.remat": "full"}),
    ("gpt2-124m", "v5e:2x4", "data=8", 64, {"model.scan_layers": True}),
    ("gpt2-355m", "v5e:4x4", "fsdp=16", 128, {"model.remat": "full"}),
    ("gpt2-774m", "v5e:4x4", "fsdp=16", 128, {}),
    ("gpt2-1.5b", "v5e:4x4", "fsdp=16", 128, {}),
    ("gpt3-125m", "v5e:2x4", "data=8", 32, {"model.scan_layers": True}),
    ("gpt3-350m", "v5e:4x4", "fsdp=16", 64, {"model.remat": "full"}),
    ("gpt3-760m", "v5e:4x4", "fsdp=16", 64, {"model.remat": "full"}),
    ("gpt3-1.3b", "v5e:4x8", "fsdp=32", 128, {}),
    ("gpt3-2.7b", "v5e:8x8", "fsdp=64", 256, {}),
    ("gpt3-6.7b", "v5e:8x16", "fsdp=64,tensor=2", 256, {}),
    ("gpt3-13b", "v5e:16x16", "fsdp=128,tensor=2", 512, {}),
    ("gpt3-175b", "v5p:8x8x8", "fsdp=64,tensor=8", None, {}),
    ("gpt3-175b", "v5p:8x8x8", "fsdp=64,tensor=8", 512, {}),
    ("gpt3-175b", "v5p:4x4x4", "fsdp=8,tensor=8", 64, {}),
    ("gpt3-175b", "v5p:2x4x4", "fsdp=8,tensor=4", 32, {}),
    ("gpt3-175b-strided", "v5p:8x8x8", "fsdp=64,tensor=8", 512, {}),
]
PEER: list[Row] = [
    ("gpt2-1.5b", "v5e:4x4", "fsdp=16", None, {"training.batch_tokens": 128 * 1024}),
    ("gpt3-175b", "v5p:8x8x8", "fsdp=64,tensor=8", None, {"training.batch_tokens": 512 * 2048}),
    ("gpt3-175b-dense", "v5p:8x8x8", "fsdp=64,tensor=8", None, {"training.batch_tokens": 512 * 2048}),
    ("gpt3-175b", "v5p:8x8x8", "fsdp=64,tensor=8", None, {}),
    ("gpt3-175b-dense", "v5p:8x8x8", "fsdp=64,tensor=8", None, {}),
]
COLUMNS = ("config", "slice", "mesh", "micro-batches", "arguments", "peak", "of", "sent", "step at best", "fits")


def row(name: str, topology: str, mesh: str, micro_batch: int | None, changes: dict[str, Any]) -> tuple[str, ...]:
    """One line of the table: GiB on each device, GiB sent by each device in a step, seconds."""
    ramp = {"training.batch_ramp_tokens": 0}  # compiled for the full batch
    config = override(configs.get(name), {**ramp, "training.micro_batch": micro_batch, **changes})
    config = dataclasses.replace(config, mesh=parse_mesh(mesh))
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
