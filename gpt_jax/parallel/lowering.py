"""The training step and its first state, laid out over a mesh. The step is lowered from shapes alone, for the devices
here or for others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gpt_jax.config import RunConfig
from gpt_jax.numerics import pinned
from gpt_jax.parallel.mesh import batch_sharding
from gpt_jax.sharding import shaped, state_shardings
from gpt_jax.training.state import TrainState, init_state, state_shapes
from gpt_jax.training.step import make_train_step

# A program that runs once. At this level the CPU's compiler takes half the time, and the numbers stay.
QUICKLY_COMPILED = {"xla_backend_optimization_level": 1}


def initializer(config: RunConfig, mesh: Mesh) -> Callable[[np.uint32], TrainState]:
    """`init_state(config, seed)` of a seed, compiled at the first call, straight into its shards."""
    on_cpu = mesh.devices.flat[0].platform == "cpu" and not jax.config.read("jax_disable_most_optimizations")
    shardings = state_shardings(state_shapes(config), mesh)
    options = QUICKLY_COMPILED if on_cpu else None
    return jax.jit(partial(init_state, config), out_shardings=shardings, compiler_options=options)


@pinned()
def lower_step(config: RunConfig, mesh: Mesh, accumulation: int, micro_batch: int) -> jax.stages.Lowered:
    """`make_train_step(config)` for tokens `(accumulation, micro_batch, context + 1)`, donating its state.

    State and batch are split by the tables of gpt_jax/sharding.py. Rate, seed and metrics are whole everywhere. Nothing
    is allocated. The mesh's devices need not be here: those of a TPU topology are enough.
    """
    state = state_shapes(config)
    shardings, whole = state_shardings(state, mesh), NamedSharding(mesh, PartitionSpec())
    shape = (accumulation, micro_batch, config.model.context_length + 1)
    tokens = jax.ShapeDtypeStruct(shape, np.int32, sharding=batch_sharding(mesh, shape))
    rate, seed = (jax.ShapeDtypeStruct((), dtype, sharding=whole) for dtype in (np.float32, np.uint32))
    with jax.set_mesh(mesh):
        step = jax.jit(make_train_step(config), out_shardings=(shardings, whole), donate_argnums=0)
        traced = step.trace(shaped(state, shardings), tokens, rate, seed)
        return traced.lower(lowering_platforms=(mesh.devices.flat[0].platform,))
