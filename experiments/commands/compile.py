"""`compile`: what a config would need of a TPU slice, before anyone rents one."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

import configs
from gpt_jax.config import override
from gpt_jax.errors import InputError


def compile_config(arguments: argparse.Namespace) -> int:
    """Compiles the training step ahead of time and prints the report. Status 1 where it does not fit."""
    from experiments.commands.commands import parse_overrides
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
    from rich.console import Console

    from experiments.runs.screen import Screen

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
    Screen(Console()).table(f"{name} on {report.topology}", rows)
