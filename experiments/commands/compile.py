"""`compile`: what a config would need of a TPU slice, before anyone rents one."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

import configs
from experiments.arguments import add_json, add_overrides, parse_overrides, whole
from experiments.command import Command
from gpt_jax.config import override
from gpt_jax.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="a recipe of configs/: gpt2-1.5b, gpt3-175b, ...")
    add_overrides(parser, "model.remat=full")
    parser.add_argument("--topology", required=True, metavar="TPU", help="v5e:4x4, v5p:8x8x8, v6e:16x16, v4:4x4x4 ...")
    parser.add_argument("--mesh", default="", metavar="AXES", help="data=1,fsdp=16,tensor=1 (data: what is left)")
    parser.add_argument("--slices", type=whole(1), default=1, metavar="N", help="that many slices (1)")
    parser.add_argument(
        "--compiler-option", action="append", default=[], metavar="NAME=VALUE", help="of XLA; may be repeated"
    )
    add_json(parser)


def compile_config(arguments: argparse.Namespace) -> int:
    """Compiles the training step ahead of time and prints the report. Status 1 where it does not fit."""
    from gpt_jax.parallel.ahead import compile_ahead, parse_mesh

    config = override(configs.get(arguments.config), parse_overrides(arguments.overrides))
    config = dataclasses.replace(config, mesh=parse_mesh(arguments.mesh))
    options = dict(option.partition("=")[::2] for option in arguments.compiler_option)
    if not all(options.values()):
        raise InputError(f"--compiler-option: {arguments.compiler_option} is not allowed: NAME=VALUE")
    report = compile_ahead(config, arguments.topology, slices=arguments.slices, compiler_options=options)
    if arguments.json:
        derived = {"fits": report.fits, "step_seconds": report.step_seconds, "mfu": report.utilisation}
        print(json.dumps({"config": arguments.config, **dataclasses.asdict(report), **derived}, indent=2))
    else:
        _show(arguments.config, report)
    return 0 if report.fits else 1


def _show(name: str, report: Any) -> None:
    from experiments.runs.screen import Screen
    from experiments.terminal import make_console

    gib = 2**30
    shape = ", ".join(f"{axis}={size}" for axis, size in report.mesh.items())
    steps = f"{report.micro_batch:,} sequences x {report.accumulation} micro-batches"
    rows = {
        "parameters": f"{report.parameters:,}",
        "compute": f"{report.flops_per_token:.4g} FLOP per token; remat {report.remat}; attention {report.attention}",
        "batch": f"{report.batch_tokens:,} tokens: {steps}",
        "devices": f"{report.devices} of {report.topology}: {shape}",
        "arguments": f"{report.argument_bytes / gib:.2f} GiB on each device: parameters, moments, tokens",
        "temporaries": f"{report.temporary_bytes / gib:.2f} GiB (sum of all buffers; many share memory)",
        "peak": f"{report.peak_bytes / gib:.2f} GiB of {report.memory_bytes / gib:.0f} GiB",
    }
    for kind, (count, sent) in report.collectives.items():
        rows[kind] = f"{sent / gib:.2f} GiB sent by each device in a step, in {count:,}"
    expected = ", ".join(f"{what} {sent / gib:.2f}" for what, sent in report.predicted.items() if sent)
    rows |= {
        "by formula": f"{sum(report.predicted.values()) / gib:.2f} GiB: {expected}" if expected else "nothing is sent",
        "step": f"{report.step_seconds:.3g} s at best: compute {report.compute_seconds:.3g}, memory "
        f"{report.memory_seconds:.3g}, network {report.network_seconds:.3g} (published peaks); "
        f"MFU at most {report.utilisation:.0%}",
        "verdict": "fits" if report.fits else f"does not fit: {report.missing_bytes / gib:.2f} GiB are missing",
    }
    Screen(make_console()).table(f"{name} on {report.topology}", rows)


COMMAND = Command(
    group="hardware",
    help="what a config needs of a TPU slice, compiled ahead of time, without one",
    example="python -m experiments compile gpt2-1.5b --topology v5e:4x4 --mesh fsdp=16 training.batch_tokens=131072",
    arguments=add_arguments,
    act=compile_config,
)
