"""What a run's config, plan and corpus amount to, for people: the table before the first step."""

from __future__ import annotations

import jax
from jax.sharding import Mesh

from gpt_jax.config import RunConfig
from gpt_jax.data.prepare import Corpus
from gpt_jax.data.text import described
from gpt_jax.model.costs import parameter_count, train_flops_per_token
from gpt_jax.model.self_attention import attention_computed_by
from gpt_jax.training.plan import Plan


def of_corpus(corpus: Corpus, total: int) -> dict[str, str]:
    """What a run of `total` tokens trains on, for people."""
    return {
        "tokens": f"{total:,}; {corpus.train_tokens:,} to train on",
        "epochs": ", ".join(f"{epochs:.2g} of {name}" for name, epochs in corpus.epochs(total).items()),
        "left out": described(corpus.left_out) or "nothing",
        "copies": f"{corpus.copies:,} documents stand in earlier ones, on whose side of the split they stay",
        "validation": f"{corpus.validation_tokens:,} tokens for {corpus.validation_bytes:,} bytes",
    }


def derived(
    config: RunConfig, plan: Plan, corpus: Corpus, mesh: Mesh, peak: float | None, memory: int, first: int
) -> dict[str, str]:
    """The table of a run that goes on after step `first` (0: from the start).

    `peak` is the devices' FLOP/s, None where it is unknown; `memory` are the bytes of the compiled step on a device.
    """
    total = int(plan.tokens[-1])
    steps = f"{plan.steps:,} of {config.training.batch_tokens:,} tokens"
    steps += f" in {plan.accumulation} micro-batches" if plan.accumulation > 1 else ""
    steps += f"; {plan.steps - first:,} are left" if first else ""
    speed = "unknown" if peak is None else f"{peak:.3g} FLOP/s"
    return {
        "parameters": f"{parameter_count(config.model):,}",
        "steps": steps,
        **of_corpus(corpus, total),
        "compute": f"{train_flops_per_token(config.model) * total:.3g} FLOP; the device's peak is {speed}",
        "attention": attention_computed_by(config.model, jax.default_backend()),
        "memory": f"{memory / 2**20:,.0f} MiB for the training step" + (" on each device" * (mesh.size > 1)),
        "devices": _devices(mesh),
    }


def _devices(mesh: Mesh) -> str:
    kinds = ", ".join(sorted({f"{d.platform} ({d.device_kind})" for d in jax.devices()}))
    if mesh.size == 1:
        return kinds
    shape = " x ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
    return f"{mesh.size} of {kinds}: {shape}; {jax.process_count()} processes"
