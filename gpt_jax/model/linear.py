"""The affine map y = x W + b, with the papers' initialisations."""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gpt_jax.config import ModelConfig


def kernel_initializer(config: ModelConfig, shape: tuple[int, ...], inputs: int, residual: bool):
    """How a weight starts: a function `(key, shape, dtype) -> array`.

    "gpt1": N(0, std), std 0.02 (GPT-1, section 4.1). "gpt2": the same, and projections that end a residual
    branch are scaled by 1 / sqrt(N), N = 2 n_layer residual layers (GPT-2, section 2.3; the released code,
    for inference only, does not). "xavier": N(0, 2 / (fan_in + fan_out)), as Xiong et al. 2020.
    """
    std = config.initialization_std
    if config.initialization == "gpt2" and residual:
        std /= math.sqrt(2 * config.n_layer)
    if config.initialization == "xavier":
        fan_in, fan_out = math.prod(shape[:inputs]), math.prod(shape[inputs:])
        if len(shape) == 4:  # q, k and v are three matrices in one
            fan_out //= 3
        std = math.sqrt(2 / (fan_in + fan_out))
    return nn.initializers.normal(std)


class Linear(nn.Module):
    """`(..., *inputs)` -> `(..., *features)`: contracts the last `inputs` axes with the kernel's first.

    Computed in config.compute_dtype; the parameters are held in config.param_dtype.
    """

    config: ModelConfig
    features: tuple[int, ...]
    inputs: int = 1
    residual: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        c = self.config
        shape = (*x.shape[-self.inputs :], *self.features)
        kernel = self.param(
            "kernel", kernel_initializer(c, shape, self.inputs, self.residual), shape, jnp.dtype(c.param_dtype)
        )
        bias = self.param("bias", nn.initializers.zeros, self.features, jnp.dtype(c.param_dtype))
        dtype = jnp.dtype(c.compute_dtype)
        contract = tuple(range(x.ndim - self.inputs, x.ndim)), tuple(range(self.inputs))
        y = jax.lax.dot_general(x.astype(dtype), kernel.astype(dtype), (contract, ((), ())))
        return y + bias.astype(dtype)
