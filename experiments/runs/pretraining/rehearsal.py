"""A rehearsal of a run: its data, its compiled step, three real steps, and what the whole run would take.

A rehearsal leaves nothing outside the cache, which keeps prepared data, the tokenizer and compiled programs.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from experiments.experiment import RunIdentity
from experiments.runs.kinds import Interrupted, Run, kind_of
from experiments.runs.pretraining.derived import of_corpus
from experiments.runs.pretraining.kind import check_settings, checkpoint_bytes
from experiments.runs.pretraining.session import compile_step
from experiments.runs.screen import Screen
from gpt_jax.config import RunConfig
from gpt_jax.data.pipeline import open_batches
from gpt_jax.disk import keep_compiled_programs
from gpt_jax.model.costs import parameter_count, train_flops_per_token
from gpt_jax.model.self_attention import attention_computed_by
from gpt_jax.numerics import pinned
from gpt_jax.parallel.chips import peak_flops
from gpt_jax.parallel.lowering import initializer
from gpt_jax.parallel.mesh import batch_parts, check_batch, make_mesh, process_rows, put_batch
from gpt_jax.training.plan import Plan, learning_rate, make_plan

STEPS = 3
GIB = 2**30


def rehearse(
    config: RunConfig,
    folder: Path,
    identity: RunIdentity,
    data_dir: Path | None,
    screen: Screen,
    should_stop: Callable[[], bool],
) -> int:
    """Prints what training `config` in `folder` would take. Returns 0, or 1 where the disk has no room for it.

    Raises `InputError` on whatever the run itself would refuse before its first step, and `Interrupted`.
    """
    kind, run = kind_of(config), Run(config, folder, identity, data_dir, screen, False, None, "", should_stop)
    keep_compiled_programs()
    mesh = make_mesh(config.mesh)
    plan = make_plan(config, batch_parts(mesh))
    check_batch(mesh, plan.micro_batch)
    check_settings(config)
    corpus = kind.gather(run)
    kind.check_materials(run, corpus)
    with pinned(), jax.set_mesh(mesh):
        with screen.waiting("compiling the training step"):
            compiled, planned = compile_step(config, plan, mesh)
        if should_stop():
            raise Interrupted("stopped before the first step")
        state = initializer(config, mesh)(np.uint32(config.training.seed))
        rows = process_rows(mesh, plan.micro_batch)
        batches = open_batches(corpus, batch_size=plan.micro_batch, seed=config.training.seed, rows=rows)
        full = int(plan.sequences.max())
        rate = learning_rate(config.optimizer, plan.tokens[:-1], config.training.train_tokens)[min(1, plan.steps - 1)]
        seconds, losses = [], []
        with screen.stages() as show:
            steps = batches.iterate([(n * full, full) for n in range(STEPS)], plan.accumulation)
            for number, tokens in enumerate(steps):
                show("three steps", number, STEPS)
                started = time.perf_counter()
                batch = put_batch(mesh, rows, plan.micro_batch, tokens)
                state, metrics = compiled(state, batch, np.float32(rate), np.uint32(config.training.seed))
                losses.append(float(metrics["train/loss"]))
                seconds.append(time.perf_counter() - started)
    speed = full * plan.context_length / min(seconds[1:])
    needed, free, place = _room(config, folder)
    sizes = f"{needed / GIB:,.2f} GiB at most at once; {place} has {free / GIB:,.2f} GiB free"
    measured = _measured(config, plan, speed, planned, losses)
    screen.table("dry run", {**of_corpus(corpus, int(plan.tokens[-1])), **measured, "checkpoints": sizes})
    if needed > free:
        screen.warn("the checkpoints do not fit: choose another --out, or a smaller training.keep_last")
    return 0 if needed <= free else 1


def _measured(config: RunConfig, plan: Plan, speed: float, planned: int, losses: list[float]) -> dict[str, str]:
    flops, peak, chips = train_flops_per_token(config.model), peak_flops(), jax.device_count()
    share = "MFU unknown: the chip's peak is not in the table" if peak is None else f"MFU {speed * flops / peak:.1%}"
    # A step of the ramp takes the time of the micro-batches that it fills, whole or in part.
    passes = int((-(-plan.sequences // plan.micro_batch)).sum())
    hours = passes * plan.micro_batch * plan.context_length / speed / 3600
    used = [stats["peak_bytes_in_use"] for d in jax.local_devices() if (stats := d.memory_stats())]
    measured = f"; {max(used) / GIB:.2f} GiB in use at the peak" if used else ""
    return {
        "parameters": f"{parameter_count(config.model):,}",
        "attention": attention_computed_by(config.model, jax.default_backend()),
        "devices": f"{chips} x {jax.devices()[0].device_kind}",
        "batch": f"{plan.accumulation} x {plan.micro_batch} sequences of {plan.context_length:,} tokens",
        "loss": ", ".join(f"{loss:.4f}" for loss in losses) + " nats/token at three steps",
        "speed": f"{speed:,.0f} tokens/s; {share}",
        "memory": f"{planned / GIB:.2f} GiB on each device as compiled{measured}",
        "whole run": f"{plan.steps:,} steps, {int(plan.tokens[-1]):,} tokens, {flops * plan.tokens[-1]:.3g} FLOP",
        "time": f"{duration(hours)} at this speed, without evaluation; {hours * chips:,.3g} device-hours",
    }


def _room(config: RunConfig, folder: Path) -> tuple[int, int, Path]:
    """The bytes that the checkpoints take, those that are free, and the folder whose disk was asked."""
    place = next(parent for parent in folder.absolute().parents if parent.exists())
    return checkpoint_bytes(config), shutil.disk_usage(place).free, place


def duration(hours: float) -> str:
    """Hours as people say them: "12 minutes", "3.4 hours", "21 days"."""
    if hours < 1:
        return f"{hours * 60:.3g} minutes"
    return f"{hours:.3g} hours" if hours < 48 else f"{hours / 24:,.3g} days"
