"""What the compiler must be told about products, tables and loops. The equations are in the other files.

Every name here could be left out of the equations, and the numbers would be the same up to rounding. Each name's
docstring says what the compiler does without it. The layouts do nothing outside a mesh (gpt_jax/sharding.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.layout import Layout, with_layout_constraint

from gpt_jax.config import ModelConfig
from gpt_jax.sharding import constrain, mesh_in_use, on_cuda, splits_stream

Axes = tuple[str | None, ...]
STREAM: Axes = ("batch", "time", None)
PRODUCT = "product"  # the name of every product's result
REMAT_POLICIES = {"dots": jax.checkpoint_policies.save_only_these_names(PRODUCT), "full": None}


def contract(
    a: jax.Array, b: jax.Array, a_axes: range, b_axes: range, dtype: jnp.dtype, out: jnp.dtype | type = jnp.float32
) -> jax.Array:
    """`a` and `b`, as `dtype`, summed over the paired axes in float32; the sums as `out`.

    Without the stated type of the sums, JAX would round the sums of bfloat16 operands to bfloat16.
    """
    dimensions = (tuple(a_axes), tuple(b_axes)), ((), ())
    return jax.lax.dot_general(a.astype(dtype), b.astype(dtype), dimensions, preferred_element_type=out)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5, 6))
def product(
    x: jax.Array,
    w: jax.Array,
    inputs: int,
    dtype: jnp.dtype,
    axes: Axes = (),
    regather: bool = False,
    turned: bool = False,
) -> jax.Array:
    """`x W`: sums over the last `inputs` axes of `x` and the first of `w`, `(..., outputs)` in x's dtype.

    Operands are rounded to `dtype` and sums are float32, forward and backward. Without its own gradient, JAX would
    leave the cotangent, and with it both backward products, in float32.

    `axes` are w's logical axes on a mesh; those of `x` and of the result follow. What only storage splits (the "embed"
    axis of a weight, the "width" of an activation) is gathered for a product, after rounding, and each result is summed
    straight into its split form. With `regather`, the backward pass gathers x again: without that, the gathered x of a
    recomputed block's first product would live through all of the block's backward pass. `turned` is
    `weight_gradient`'s.
    """
    x_axes, y_axes = _activations(axes, inputs)
    out, contracted = x.dtype, range(x.ndim - inputs, x.ndim)
    x, w = gathered(x.astype(dtype), x_axes), gathered(rounded(w, dtype, axes), axes)
    return constrain(contract(x, w, contracted, range(inputs), dtype, out), *y_axes)


def _product_forward(x, w, inputs, dtype, axes, regather, turned):
    return product(x, w, inputs, dtype, axes, regather, turned), (x.astype(dtype), w, jnp.zeros((0,), x.dtype))


def _product_backward(inputs, dtype, axes, regather, turned, saved, g):
    x, w, like = saved
    batch = x.ndim - inputs
    x_axes, y_axes = _activations(axes, inputs)
    if regather:
        x, g = together(constrain(x, *x_axes), g)
    g, w_whole = gathered(g.astype(dtype), y_axes), gathered(rounded(w, dtype, axes), axes)
    dx = constrain(contract(g, w_whole, range(batch, g.ndim), range(inputs, w.ndim), dtype, like.dtype), *x_axes)
    dw = weight_gradient(gathered(x, x_axes), g, batch, dtype, turned)
    return together(dx, constrain(dw.astype(w.dtype), *axes))


product.defvjp(_product_forward, _product_backward)


def weight_gradient(x: jax.Array, g: jax.Array, batch: int, dtype: jnp.dtype, turned: bool) -> jax.Array:
    """`x^T g` over the first `batch` axes of both, float32, of the shape of the weight.

    XLA's CPU back end transposes x for it, element by element, within the loop that computes x: for a wide x of float32
    this took as long as the product. With `turned`, the product is formed as `g^T x` where x is the wider one, and the
    result is turned, which is smaller. The barrier keeps the compiler from undoing that. Results differ in rounding.
    """
    if not turned or x.size <= g.size:
        return contract(x, g, range(batch), range(batch), dtype)
    dw = jax.lax.optimization_barrier(contract(g, x, range(batch), range(batch), dtype))
    outputs = g.ndim - batch
    return jnp.moveaxis(dw, range(outputs), range(-outputs, 0))


def _activations(axes: Axes, inputs: int) -> tuple[Axes, Axes]:
    """The logical axes of x and of the result, for a weight of `axes`."""
    if not axes:
        return (), ()
    x_axes = STREAM if axes[0] == "embed" else ("batch", None, *axes[:inputs])
    return x_axes, STREAM if axes[-1] == "embed" else ("batch", None, *axes[inputs:])


def gathered(x: jax.Array, axes: Axes) -> jax.Array:
    """`x` with the axes whole that only storage splits.

    Without it, the partitioner may split the sums instead, and send results in float32 rather than operands.
    """
    return constrain(x, *(None if axis in ("embed", "time") else axis for axis in axes))


def rounded(w: jax.Array, dtype: jnp.dtype, axes: Axes) -> jax.Array:
    """A weight as `dtype`, split as it is stored.

    Where the stream is split, w's bits pass a barrier as integers. Without the barrier, the TPU compiler rounds the
    whole stack of layers before the loop over them, and keeps that copy; a barrier on floats does not stop it.
    """
    if w.dtype == dtype or not splits_stream():
        return w.astype(dtype)
    (bits,) = together(jax.lax.bitcast_convert_type(w, jnp.dtype(f"uint{8 * w.dtype.itemsize}")))
    # Without the constraint, the rounding would be laid out as its result is, and the gather would move float32.
    return constrain(jax.lax.bitcast_convert_type(bits, w.dtype).astype(dtype), *axes)


def together(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """`arrays`, of which a compiled program uses none before it has all. Where no mesh splits the stream, they stay as
    they are: there the compiler's own order peaks lower.

    Without it, the scheduler puts weight gradients off until memory runs short, and keeps the arrays that they read.
    """
    return jax.lax.optimization_barrier(arrays) if splits_stream() else arrays


def stream(x_BTM: jax.Array) -> jax.Array:
    """The residual stream, split over time between blocks, and on one CUDA device laid out row by row.

    Without the split, every device of the tensor axis would keep, and normalise, all of the stream. Without the layout,
    the CUDA compiler lays the whole stream out as the sum over the batch in wpe's gradient would like it, (T, M, B):
    every product then transposes its operand, and every layer norm strides over memory. On a mesh, the partitioner
    would gather the whole stream for the layout.
    """
    x_BTM = constrain(x_BTM, *STREAM)
    if on_cuda() and mesh_in_use() is None:
        return with_layout_constraint(x_BTM, Layout(tuple(range(x_BTM.ndim))))
    return x_BTM


def from_tables(rows_BTM: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """The sum of rows that were looked up in embeddings, as the stream, in `dtype`.

    Each device looks all tokens up in its columns of the tables, so that only activations travel. Without this, the
    partitioner would gather the tables and their gradients whole on every device.
    """
    rows_BTM = constrain(rows_BTM, "replica", None, "table").astype(dtype)
    return stream(constrain(rows_BTM, "batch", None, "width"))


def kept(y: jax.Array) -> jax.Array:
    """A product's result, under the name by which remat="dots" keeps it.

    Without the name, the backward pass would compute it again like everything else in the block.
    """
    return checkpoint_name(y, PRODUCT)


def recomputed(block: type[nn.Module], config: ModelConfig) -> Any:
    """`block`, recomputed in the backward pass as config.remat says: "none", all but "dots", or in "full".

    Without `prevent_cse`, the compiler would find the first computation to be equal, and keep its results after all.
    """
    if config.remat == "none":
        return block
    return nn.remat(block, policy=REMAT_POLICIES[config.remat], static_argnums=(4,), prevent_cse=True)


@partial(jax.custom_vjp, nondiff_argnums=(0, 5))
def recurrent(
    cell: Callable[[jax.Array, Any, jax.Array], tuple[Any, jax.Array]],
    x_TBGU: jax.Array,
    w_UGU: jax.Array,
    carry: Any,
    real_TB: jax.Array,
    dtype: jnp.dtype,
) -> tuple[jax.Array, Any]:
    """The outputs h `(T, B, U)` of `cell(x + h W, carry, real) -> (carry, h)` at each step, and the last carry.

    G are the cell's gates; the carry ends with h. Operands of products are rounded to `dtype`, and sums are float32.
    Without its own gradient, the backward scan would read and write the gradient of W at every step; so, that gradient
    is one product over all steps.
    """
    return _scan(cell, x_TBGU, w_UGU, carry, real_TB, dtype)[0]


def _scan(cell, x_TBGU, w_UGU, carry, real_TB, dtype):
    """(`recurrent`'s results, the h that each step starts from)."""
    w_UGU = w_UGU.astype(dtype)  # once, not at every step

    def step(carry, now):
        before_BU, (x_BGU, real_B) = carry[-1], now
        carry, h_BU = cell(x_BGU + product(before_BU, w_UGU, 1, dtype), carry, real_B)
        return carry, (h_BU, before_BU)

    carry, (h_TBU, before_TBU) = jax.lax.scan(step, carry, (x_TBGU, real_TB))
    return (h_TBU, carry), before_TBU


def _recurrent_forward(cell, x_TBGU, w_UGU, carry, real_TB, dtype):
    run = lambda x_TBGU, carry: _scan(cell, x_TBGU, w_UGU, carry, real_TB, dtype)  # noqa: E731
    results, pull_back, before_TBU = jax.vjp(run, x_TBGU, carry, has_aux=True)
    return results, (pull_back, before_TBU, jnp.zeros((0,), w_UGU.dtype))


def _recurrent_backward(cell, dtype, saved, g):
    pull_back, before_TBU, like = saved
    dx_TBGU, dcarry = pull_back(g)
    dw_UGU = contract(before_TBU, dx_TBGU, range(2), range(2), dtype).astype(like.dtype)
    return dx_TBGU, dw_UGU, dcarry, None


recurrent.defvjp(_recurrent_forward, _recurrent_backward)
