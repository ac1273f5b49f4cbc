"""One optimizer step: a pure function of state, tokens, learning rate and seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gpt_jax.config import OptimizerConfig, RunConfig
from gpt_jax.training.objectives import language_model_loss
from gpt_jax.training.optimizer import apply_gradients
from gpt_jax.training.state import DROPOUT, TrainState, purpose_key

Metrics = dict[str, jax.Array]


def updated(
    optimizer: OptimizerConfig, state: TrainState, grads: Any, learning_rate: jax.Array
) -> tuple[TrainState, jax.Array]:
    """The update rule of pre-training and of fine-tuning: the next state, and the gradient's norm before the clip."""
    params, opt_state = apply_gradients(optimizer, state.params, state.opt_state, grads, learning_rate)
    return TrainState(state.step + 1, params, opt_state), optax.global_norm(grads)


def make_train_step(config: RunConfig) -> Callable[..., tuple[TrainState, Metrics]]:
    """A function `(state, tokens_ABT1, learning_rate, seed) -> (state, metrics)`, to be jitted.

    `tokens_ABT1` int32 `(A, B, T + 1)` holds A micro-batches of B sequences; gradients are accumulated over A, so
    that the result is that of one batch of A * B. A micro-batch of padding only (-1) is skipped: that is how the
    batch ramps up under one compiled shape. Metrics: "train/loss" (nats/token) and "gradient_norm" (before the
    clip), float32 scalars.
    """
    model = config.model
    drops = max(model.embedding_dropout, model.attention_dropout, model.residual_dropout) > 0
    ramps = config.training.batch_ramp_tokens > 0

    def train_step(state: TrainState, tokens_ABT1: jax.Array, learning_rate: jax.Array, seed: jax.Array):
        step_key = jax.random.fold_in(purpose_key(seed, DROPOUT), state.step)
        scored = jnp.maximum((tokens_ABT1[..., 1:] >= 0).sum(), 1)

        def loss_and_gradient(tokens_BT1, number):
            key = jax.random.fold_in(step_key, number) if drops else None
            loss = lambda params: language_model_loss(model, params, tokens_BT1, key) / scored  # noqa: E731
            return jax.value_and_grad(loss)(state.params)

        def accumulate(total, micro):
            tokens_BT1, _ = micro
            add = lambda: jax.tree.map(jnp.add, total, loss_and_gradient(*micro))  # noqa: E731
            return jax.lax.cond((tokens_BT1 >= 0).any(), add, lambda: total) if ramps else add(), None

        if tokens_ABT1.shape[0] == 1:
            loss, grads = loss_and_gradient(tokens_ABT1[0], 0)
        else:
            zero = jnp.zeros(()), jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.float32), state.params)
            (loss, grads), _ = jax.lax.scan(accumulate, zero, (tokens_ABT1, jnp.arange(tokens_ABT1.shape[0])))

        state, norm = updated(config.optimizer, state, grads, learning_rate)
        return state, {"train/loss": loss, "gradient_norm": norm}

    return train_step
