"""What training carries from step to step: arrays alone."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from gpt_jax.config import OptimizerConfig, RunConfig
from gpt_jax.model.interface import language_model
from gpt_jax.numerics import PRNG, pinned
from gpt_jax.training.optimizer import init_optimizer

INITIALIZATION, DROPOUT, SAMPLING = range(3)  # the purposes that a seed's key is folded with


@flax.struct.dataclass
class TrainState:
    """`step` counts finished optimizer steps (int32)."""

    step: jax.Array
    params: Any
    opt_state: Any


def purpose_key(seed: int | jax.Array, purpose: int) -> jax.Array:
    """The key of one purpose. No random stream is stored, so any step can be replayed."""
    return jax.random.fold_in(jax.random.key(seed, impl=PRNG), purpose)


@pinned()
def init_state(config: RunConfig, seed: int | jax.Array | None = None) -> TrainState:
    """A state at step 0; `seed` defaults to the config's, and may be traced."""
    seed = config.training.seed if seed is None else seed
    tokens_BT = jnp.zeros((1, 1), jnp.int32)
    params = language_model(config.model).init(purpose_key(seed, INITIALIZATION), tokens_BT)["params"]
    return fresh_state(config.optimizer, params)


@cache
def state_shapes(config: RunConfig) -> TrainState:
    """The shapes and dtypes of `init_state(config)`; nothing is allocated. Tracing takes a second for many layers."""
    return jax.eval_shape(partial(init_state, config))


def fresh_state(optimizer: OptimizerConfig, params: Any) -> TrainState:
    """The state at step 0 of a training that starts from `params`."""
    return TrainState(jnp.zeros((), jnp.int32), params, init_optimizer(optimizer, params))
