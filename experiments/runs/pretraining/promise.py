"""What a recipe promises and takes, before it is trained: its result, its sizes, its memory and its time."""

from __future__ import annotations

import dataclasses
import math

import jax
from jax.sharding import AbstractMesh, AxisType

from configs.recipe import Recipe, Slice
from experiments.runs.pretraining.rehearsal import GIB, duration
from gpt_jax.config import RunConfig, override
from gpt_jax.model.costs import parameter_count, train_flops_per_token
from gpt_jax.parallel.ahead import parse_mesh
from gpt_jax.parallel.chips import TPUS, peak_flops
from gpt_jax.parallel.mesh import AXES, mesh_shape
from gpt_jax.sharding import state_shardings
from gpt_jax.training.plan import make_plan
from gpt_jax.training.state import state_shapes

SHARE = 0.4  # of the peak: what good GPT-2 trainers reach on accelerators (llm.c's 124M on H100: 40.5 %)


def described(recipe: Recipe) -> dict[str, str]:
    """The recipe in words, a line for each of its properties."""
    config = recipe.config
    model, plan, flops = config.model, make_plan(config), train_flops_per_token(config.model)
    tokens = int(plan.tokens[-1])
    batch = f"{config.training.batch_tokens:,} tokens"
    if plan.sequences[0] < plan.sequences[-1]:
        batch += f", from {plan.sequences[0] * plan.context_length:,} over {config.training.batch_ramp_tokens:,} tokens"
    lines = {
        "reaches": recipe.reaches,
        "data": f"{recipe.data} (data.source={config.data.source}, data.tokenizer={config.data.tokenizer})",
        "model": f"{parameter_count(model):,} parameters: {model.n_layer} layers of {model.d_model}, {model.n_head} "
        f"heads, {model.context_length:,} tokens of context, {', '.join(map(str, model.attention))}",
        "training": f"{plan.steps:,} steps, {tokens:,} tokens, {flops * tokens:.3g} FLOP; batches of {batch}",
        "here": _time_here(flops * tokens),
    }
    if recipe.slice is not None:
        lines["slice"] = _on_slice(config, recipe.slice, flops * tokens)
    for milestone in recipe.milestones:
        lines[f"step {milestone.step:,}"] = f"{milestone.loss} nats/token of validation ({milestone.source})"
    return lines


def _time_here(flops: float) -> str:
    peak, kind = peak_flops(), f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    if peak is None:
        return f"{kind}: unknown, as the chip's peak is not in the table; --dry-run measures it"
    return f"{kind}: {duration(flops / (SHARE * peak) / 3600)} at {SHARE:.0%} of its peak; --dry-run measures it"


def _on_slice(config: RunConfig, place: Slice, flops: float) -> str:
    """Time, and the memory of what training always holds, on each device of the slice."""
    version, _, shape = place.topology.partition(":")
    count = math.prod(int(size) for size in shape.split("x"))
    config = dataclasses.replace(override(config, place.changes), mesh=parse_mesh(place.mesh))
    sizes = mesh_shape(config.mesh, count)
    mesh = AbstractMesh(sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES))
    state = state_shapes(config)
    held = sum(
        math.prod(sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf, sharding in zip(jax.tree.leaves(state), jax.tree.leaves(state_shardings(state, mesh)), strict=True)
    )
    chip = TPUS[version]
    time = duration(flops / (SHARE * chip.flops * count) / 3600)
    changes = "".join(f" {key}={value}" for key, value in place.changes.items())
    return (
        f"{place.topology} with {place.mesh}{changes}: {held / GIB:.2f} of {chip.memory / GIB:.0f} GiB on each device "
        f"for parameters and moments (`compile` says what the whole step needs); {time} at {SHARE:.0%} of the peak"
    )
