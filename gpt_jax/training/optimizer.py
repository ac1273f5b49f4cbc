"""Adam as AdamW and as GPT-1's released code has it. The learning rate is applied by the step, not here."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gpt_jax.config import OptimizerConfig


def decay_mask(params: Any) -> Any:
    """True for the leaves that decay. Biases and gains do not decay (GPT-1, section 4.1). Embeddings do."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key not in ("bias", "scale"), params)


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """Gradient -> direction d, for the step `params - learning_rate * d`: global-norm clip, Adam, weight decay.

    "adamw": d = m^ / (sqrt(v^) + eps) + decay * p, with bias-corrected m^ and v^ (Loshchilov and Hutter; optax).
    "openai_adam": d = c (m / (sqrt(v) + eps) + decay * p), c = sqrt(1 - b2^t) / (1 - b1^t), as opt.py of
    openai/finetune-transformer-lm: epsilon is not bias-corrected, and the decay is multiplied by c, which is
    0.32 at t = 1, 0.15 at t = 10 and 0.80 at t = 1000 for b2 = 0.999.
    """
    clip = optax.identity() if config.clip_norm is None else optax.clip_by_global_norm(config.clip_norm)
    if config.name == "openai_adam":
        adam = openai_adam(config.b1, config.b2, config.epsilon, config.weight_decay)
        return optax.chain(clip, adam)
    adam = optax.scale_by_adam(config.b1, config.b2, config.epsilon)
    return optax.chain(clip, adam, optax.add_decayed_weights(config.weight_decay, mask=decay_mask))


class Master(NamedTuple):
    """The optimizer's state where weights are less precise than float32: a float32 copy of the weights, and Adam's
    state, float32 too.

    In bfloat16 the second moment would never fall, because 0.999 v rounds to v, and an update below 2^-9 of a weight
    would vanish.
    """

    weights: Any
    adam: Any


def init_optimizer(config: OptimizerConfig, params: Any) -> Any:
    """The state at step 0 for `params`: Adam's, or a `Master` where any parameter is not float32."""
    optimizer = make_optimizer(config)
    if _is_float32(params):
        return optimizer.init(params)
    weights = _to_float32(params)
    return Master(weights, optimizer.init(weights))


def apply_gradients(
    config: OptimizerConfig, params: Any, opt_state: Any, grads: Any, learning_rate: jax.Array
) -> tuple[Any, Any]:
    """One update, `params - learning_rate * direction`: the new parameters, in their own dtype, and the state."""
    optimizer = make_optimizer(config)
    if not isinstance(opt_state, Master):
        direction, opt_state = optimizer.update(grads, opt_state, params)
        return jax.tree.map(lambda p, d: (p - learning_rate * d).astype(p.dtype), params, direction), opt_state
    direction, adam = optimizer.update(_to_float32(grads), opt_state.adam, opt_state.weights)
    weights = jax.tree.map(lambda w, d: w - learning_rate * d, opt_state.weights, direction)
    return jax.tree.map(lambda w, p: w.astype(p.dtype), weights, params), Master(weights, adam)


def _is_float32(params: Any) -> bool:
    return all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


def _to_float32(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), tree)


class OpenAIAdamState(NamedTuple):
    count: jax.Array
    mu: Any
    nu: Any


def openai_adam(b1: float, b2: float, epsilon: float, weight_decay: float) -> optax.GradientTransformation:
    """GPT-1's Adam; see `make_optimizer`."""

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return OpenAIAdamState(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(grads, state, params):
        count = state.count + 1
        mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, grads)
        nu = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.nu, grads)
        correction = jnp.sqrt(1 - b2**count) / (1 - b1**count)

        def direction(m, v, p, decays):
            return correction * (m / (jnp.sqrt(v) + epsilon) + (weight_decay * p if decays else 0))

        return jax.tree.map(direction, mu, nu, params, decay_mask(params)), OpenAIAdamState(count, mu, nu)

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]
