"""The affine map y = x W + b, with the papers' initialisations."""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gpt_jax.config import ModelConfig
from gpt_jax.errors import InputError
from gpt_jax.model.int8 import Int8
from gpt_jax.model.products import Axes, contract, kept, product


def kernel_initializer(config: ModelConfig, shape: tuple[int, ...], inputs: int, residual: bool):
    """How a weight starts: a function `(key, shape, dtype) -> array`.

    "gpt1": N(0, std), std 0.02 (GPT-1, section 4.1). "gpt2": the same, and projections that end a residual
    branch are scaled by 1 / sqrt(N), N = 2 n_layer residual layers (GPT-2, section 2.3; the released code,
    for inference only, does not). "gpt2-unscaled": without that factor. "xavier":
    N(0, 2 / (fan_in + fan_out)), as Xiong et al. 2020.
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


def matmul_dtype(config: ModelConfig) -> jnp.dtype:
    """The dtype that the operands of matrix products are rounded to. Raises `InputError` for "auto", which is none."""
    if config.matmul_dtype == "auto":
        raise InputError(
            "model.matmul_dtype: 'auto' is not allowed here: 'float32' or 'bfloat16' is: `run`, `train` and `finetune` "
            "measure which of them is faster on this machine, and put it into the run's config"
        )
    return jnp.dtype(config.compute_dtype if config.matmul_dtype == "compute" else config.matmul_dtype)


class Linear(nn.Module):
    """`(..., *inputs)` -> `(..., *features)`: contracts the last `inputs` axes with the kernel's first.

    The product has operands in config.matmul_dtype, the result is in config.compute_dtype; the parameters are held
    in config.param_dtype. A kernel of int8, which `quantized` (int8.py) puts in its place, multiplies as such.
    `axes` are the kernel's logical axes on a mesh; `regather` is `product`'s.
    """

    config: ModelConfig
    features: tuple[int, ...]
    inputs: int = 1
    residual: bool = False
    axes: Axes = ()
    regather: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        c, dtype, held = self.config, jnp.dtype(self.config.compute_dtype), jnp.dtype(self.config.param_dtype)
        shape = (*x.shape[-self.inputs :], *self.features)
        rounded = self.get_variable("params", "kernel")
        if isinstance(rounded, Int8):
            xw = rounded.product(x).astype(dtype)
        else:
            w: jax.Array = self.param("kernel", kernel_initializer(c, shape, self.inputs, self.residual), shape, held)
            how = self.inputs, matmul_dtype(c), self.axes, self.regather, c.turned_gradients
            xw: jax.Array = product(x.astype(dtype), w, *how)
        b: jax.Array = self.param("bias", nn.initializers.zeros, self.features, held)
        return kept(xw) + jnp.broadcast_to(b.astype(dtype), xw.shape)


def logits(config: ModelConfig, h_BTM: jax.Array, head_VM: jax.Array | Int8) -> jax.Array:
    """`h W_e^T`, float32 `(B, T, V)`: the product of the model's last activations and its output matrix."""
    if isinstance(head_VM, Int8):
        return head_VM.product(h_BTM)
    return contract(h_BTM, head_VM, range(2, 3), range(1, 2), matmul_dtype(config))
