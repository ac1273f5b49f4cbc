"""Weights as whole numbers of eight bits: a token of a decoder reads a quarter of the bytes.

    W ~ s W8,   s = max |W| / 127 over the inputs of an output      (one scale per channel)
    x ~ r x8,   r = max |x| / 127 over a row of activations         (at every product)
    x W ~ r s (x8 W8)

These are the vector-wise scales of Dettmers et al. 2022 (LLM.int8(), section 3.1). The outliers, which that paper keeps
in 16 bits, are not kept apart: the paper met them in models above 6 billion parameters. Sums of `x8 W8` are whole
numbers, so that a row's result is the same whatever stands beside it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from gpt_jax.config import ModelConfig
from gpt_jax.errors import InputError
from gpt_jax.model.layers_layout import unstack_layers

MOST = 127  # -128 is left out, so that the scales are symmetric
INPUTS = {"qkv": 1, "out": 2, "up": 1, "down": 1}  # of a layer's matrices: how many of the first axes are inputs
ROWS = 2  # XLA's product of one row of int8 takes 20 times as long as that of two on a CPU


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Int8:
    """A matrix: `values` int8 `(*outputs, *inputs)`, `scale` float32 `(*outputs)`, one for each output."""

    values: jax.Array
    scale: jax.Array

    @classmethod
    def of(cls, w: jax.Array, inputs: int) -> Int8:
        """The matrix `w`, `(*outputs, *inputs)` with so many axes of inputs, rounded."""
        w = jnp.asarray(w, jnp.float32)
        values, scale = rounded(w, range(w.ndim - inputs, w.ndim))
        return cls(values, scale.reshape(w.shape[: w.ndim - inputs]))

    def __getitem__(self, ids: jax.Array) -> jax.Array:
        """Rows of a table of embeddings, float32."""
        return self.values[ids] * self.scale[ids][..., None]

    def product(self, x: jax.Array) -> jax.Array:
        """`x W`: `(..., *inputs)` -> float32 `(..., *outputs)`. The sums are exact; x is rounded row by row."""
        outputs, inputs = self.scale.shape, self.values.shape[self.scale.ndim :]
        leading = x.shape[: x.ndim - len(inputs)]
        x8, scale = rounded(x.reshape(-1, math.prod(inputs)).astype(jnp.float32), range(1, 2))
        count = x8.shape[0]
        x8 = jnp.concatenate([x8] * -(-ROWS // count))
        w8 = self.values.reshape(-1, x8.shape[1])
        sums = jax.lax.dot_general(x8, w8, (((1,), (1,)), ((), ())), preferred_element_type=jnp.int32)[:count]
        return (sums.astype(jnp.float32) * scale * self.scale.reshape(-1)).reshape(*leading, *outputs)


def rounded(x: jax.Array, axes: range) -> tuple[jax.Array, jax.Array]:
    """`x` as whole numbers up to `MOST` in size, int8, and their scales: one for each place outside of `axes`."""
    most = jnp.abs(x).max(tuple(axes), keepdims=True)
    # XLA divides by a scalar in one of two ways, by the number of rows. Reciprocals and products have one result.
    whole = x * jnp.reciprocal(jnp.where(most > 0, most, 1)) * float(MOST)
    return jnp.round(whole).astype(jnp.int8), most * (1 / MOST)


def quantized(config: ModelConfig, params: Any) -> tuple[ModelConfig, Any]:
    """The decoder with its matrices and tables of tokens as `Int8`, for sampling and evaluation: it has no gradient.

    The table of positions, norms and biases stay as they are. Layers come back unstacked. Raises `InputError` for the
    LSTM, whose recurrence is no such matrix.
    """
    if config.architecture != "transformer":
        raise InputError(f"int8: the architecture {config.architecture!r} is not allowed: 'transformer' is")

    def convert(path: tuple[Any, ...], leaf: jax.Array) -> Any:
        *_, owner, name = (None, *(key.key for key in path))
        if name in ("wte", "lm_head"):
            return Int8.of(leaf, 1)
        if name != "kernel":
            return leaf
        inputs = INPUTS[owner]
        return Int8.of(jnp.moveaxis(leaf, range(inputs), range(-inputs, 0)), inputs)

    params = jax.tree_util.tree_map_with_path(convert, unstack_layers(config, params))
    return dataclasses.replace(config, scan_layers=False), params


def as_float32(params: Any) -> Any:
    """The parameters in float32; those of int8 stay."""
    return jax.tree.map(lambda leaf: leaf if leaf.dtype == jnp.int8 else jnp.asarray(leaf, jnp.float32), params)
