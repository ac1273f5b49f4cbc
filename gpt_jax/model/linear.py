"""The affine map y = x W + b, with the papers' initialisations."""

from __future__ import annotations

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from gpt_jax.config import ModelConfig
from gpt_jax.sharding import constrain, splits_stream, together

Axes = tuple[str | None, ...]
PRODUCT = "product"  # what remat="dots" keeps


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


def contract(
    a: jax.Array, b: jax.Array, a_axes: range, b_axes: range, dtype: jnp.dtype, out: jnp.dtype | type = jnp.float32
) -> jax.Array:
    """`a` and `b`, as `dtype`, summed over the paired axes in float32; the sums as `out`."""
    dimensions = (tuple(a_axes), tuple(b_axes)), ((), ())
    return jax.lax.dot_general(a.astype(dtype), b.astype(dtype), dimensions, preferred_element_type=out)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def matmul(
    x: jax.Array, w: jax.Array, inputs: int, dtype: jnp.dtype, axes: Axes = (), regather: bool = False
) -> jax.Array:
    """Sums over the last `inputs` axes of `x` and the first of `w`: `(..., outputs)` in x's dtype.

    Forward and backward, operands are rounded to `dtype` and sums are float32. (JAX's own transpose of such a
    product would leave the cotangent, and with it both backward products, in float32.)

    Over a mesh, `axes` are w's logical ones, and those of `x` and of the result follow from them. What only storage
    splits, a parameter's "embed" and an activation's "width", is gathered for a product, after rounding; each result
    is summed straight into its split form. Where the stream is split, a product's weight gradient is finished before
    its input's gradient is used, and with `regather` x is gathered for it anew: the gathered x of a recomputed block's
    first product would otherwise live through all of the block's backward pass.
    """
    x_axes, y_axes = _activations(axes, inputs)
    out, contracted = x.dtype, range(x.ndim - inputs, x.ndim)
    x, w = constrain(x.astype(dtype), *_whole(x_axes)), constrain(_rounded(w, dtype, axes), *_whole(axes))
    return constrain(contract(x, w, contracted, range(inputs), dtype, out), *y_axes)


def _rounded(w: jax.Array, dtype: jnp.dtype, axes: Axes) -> jax.Array:
    """`w` as `dtype`, split as it is stored. Where the stream is split, w's bits pass a barrier: the TPU compiler else
    rounds the whole stack of layers before the loop over them, even past a barrier on floats, and keeps that copy."""
    if w.dtype == dtype or not splits_stream():
        return w.astype(dtype)
    (bits,) = together(jax.lax.bitcast_convert_type(w, jnp.dtype(f"uint{8 * w.dtype.itemsize}")))
    # Without the constraint, the rounding would be laid out as its result is, and the gather would move float32.
    return constrain(jax.lax.bitcast_convert_type(bits, w.dtype).astype(dtype), *axes)


def _whole(axes: Axes) -> Axes:
    return tuple(None if axis in ("embed", "time") else axis for axis in axes)


def _activations(axes: Axes, inputs: int) -> tuple[Axes, Axes]:
    """The logical axes of x and of the result, for a weight of `axes`."""
    stream: Axes = ("batch", "time", None)
    x_axes = stream if axes[:1] == ("embed",) else ("batch", None, *axes[:inputs])
    return (x_axes, stream if axes[-1:] == ("embed",) else ("batch", None, *axes[inputs:])) if axes else ((), ())


def _matmul_forward(x, w, inputs, dtype, axes, regather):
    return matmul(x, w, inputs, dtype, axes, regather), (x.astype(dtype), w, jnp.zeros((0,), x.dtype))


def _matmul_backward(inputs, dtype, axes, regather, saved, g):
    x, w, like = saved
    batch = x.ndim - inputs
    x_axes, y_axes = _activations(axes, inputs)
    if regather:
        x, g = together(constrain(x, *x_axes), g)
    g, w_whole = constrain(g.astype(dtype), *_whole(y_axes)), constrain(_rounded(w, dtype, axes), *_whole(axes))
    dx = constrain(contract(g, w_whole, range(batch, g.ndim), range(inputs, w.ndim), dtype, like.dtype), *x_axes)
    dw = contract(constrain(x, *_whole(x_axes)), g, range(batch), range(batch), dtype)
    return together(dx, constrain(dw.astype(w.dtype), *axes))


matmul.defvjp(_matmul_forward, _matmul_backward)


def matmul_dtype(config: ModelConfig) -> jnp.dtype:
    """What the operands of matrix products are rounded to."""
    return jnp.dtype(config.compute_dtype if config.matmul_dtype == "compute" else config.matmul_dtype)


class Linear(nn.Module):
    """`(..., *inputs)` -> `(..., *features)`: contracts the last `inputs` axes with the kernel's first.

    The product has operands in config.matmul_dtype, the result is in config.compute_dtype; the parameters are held
    in config.param_dtype. `axes` are the kernel's logical ones, for a mesh; `regather` is `matmul`'s.
    """

    config: ModelConfig
    features: tuple[int, ...]
    inputs: int = 1
    residual: bool = False
    axes: Axes = ()
    regather: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        c = self.config
        shape = (*x.shape[-self.inputs :], *self.features)
        kernel: jax.Array = self.param(
            "kernel", kernel_initializer(c, shape, self.inputs, self.residual), shape, jnp.dtype(c.param_dtype)
        )
        bias: jax.Array = self.param("bias", nn.initializers.zeros, self.features, jnp.dtype(c.param_dtype))
        dtype = jnp.dtype(c.compute_dtype)
        y: jax.Array = matmul(x.astype(dtype), kernel, self.inputs, matmul_dtype(c), self.axes, self.regather)
        return checkpoint_name(y, PRODUCT) + bias.astype(dtype)


def logits(config: ModelConfig, h_BTM: jax.Array, head_VM: jax.Array) -> jax.Array:
    """`h W_e^T`, float32 `(B, T, V)`: the model's last activations against its output matrix."""
    return contract(h_BTM, head_VM, range(2, 3), range(1, 2), matmul_dtype(config))
