"""An LSTM language model: the "traditional network" of the claims.

Axes: B batch, T time, M model width, U units, V vocabulary; 4 is the gates.

GPT-1's Table 5 compares the decoder with "a single layer 2048 unit LSTM" that is pre-trained and fine-tuned alike; the
paper says no more about it. Here d_model is the width of the embedding, n_layer the layers, and d_ff (None: 4 d_model)
the units of each; d_model = 512 and n_layer = 1 are the paper's 2,048.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from gpt_jax.config import ModelConfig
from gpt_jax.model.linear import Linear, kernel_initializer, logits, matmul_dtype
from gpt_jax.model.products import recurrent

State = tuple[jax.Array, jax.Array]  # (c, h) of a layer, float32 (B, U)


@flax.struct.dataclass
class Carry:
    """What decoding carries from token to token: `layers` holds each layer's state.

    `length_B` counts the tokens of each row.
    """

    length_B: jax.Array
    layers: tuple[State, ...]


def init_carry(config: ModelConfig, batch_size: int) -> Carry:
    """The carry before the first token: zeros."""
    zeros_BU = jnp.zeros((batch_size, config.mlp_width), jnp.float32)
    return Carry(jnp.zeros(batch_size, jnp.int32), ((zeros_BU, zeros_BU),) * config.n_layer)


class LSTMLayer(nn.Module):
    """One layer of LSTM (Hochreiter and Schmidhuber 1997; with the forget gate of Gers et al. 2000).

    `i, f, o = sigmoid(.), g = tanh(.)` of `x W + h R + b`; `c = f c + i g`; `h = o tanh(c)`. The forget gate's bias
    starts at 1 (Jozefowicz et al. 2015), weights as config.initialization says. Operands of products have
    config.matmul_dtype, in the recurrence too, which is bound by reading R at every step; the state and all else there
    are float32. The output is projected to the model width, which the tied output matrix needs.
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, x_BTM: jax.Array, carry: State, real_BT: jax.Array) -> tuple[jax.Array, State]:
        c, units, held = self.config, self.config.mlp_width, jnp.dtype(self.config.param_dtype)
        gates_BT4U = Linear(c, (4, units), name="input")(x_BTM)
        shape = (units, 4, units)
        recurrent_U4U = self.param("recurrent", kernel_initializer(c, shape, 1, False), shape, held)
        forget_U = self.param("forget", nn.initializers.ones, (units,), held)
        gates_TB4U = jnp.moveaxis(gates_BT4U.astype(jnp.float32), 1, 0).at[:, :, 1].add(forget_U.astype(jnp.float32))
        results: Any = recurrent(cell, gates_TB4U, recurrent_U4U, carry, real_BT.T, matmul_dtype(c))
        out_TBU, carry = results
        out_BTU = jnp.moveaxis(out_TBU, 0, 1).astype(x_BTM.dtype)
        return Linear(c, (c.d_model,), name="output")(out_BTU), carry


def cell(gates_B4U: jax.Array, carry: State, real_B: jax.Array) -> tuple[State, jax.Array]:
    """One step: the next (c, h), and h, from the gates i, f, o, g before their nonlinearities.

    Where `real_B` is False, padding, the carry stays as it is.
    """
    c_BU, h_BU = carry
    i_BU, f_BU, o_BU, g_BU = (gates_B4U[:, n] for n in range(4))
    new_BU = jax.nn.sigmoid(f_BU) * c_BU + jax.nn.sigmoid(i_BU) * jnp.tanh(g_BU)
    out_BU = jax.nn.sigmoid(o_BU) * jnp.tanh(new_BU)
    keep_B1 = real_B[:, None]
    return (jnp.where(keep_B1, new_BU, c_BU), jnp.where(keep_B1, out_BU, h_BU)), out_BU


class LSTM(nn.Module):
    """Logits for every next token, by layers of LSTM; the interface is `GPT`'s.

    `apply({"params": params}, tokens_BT)` -> float32 `(B, T, V)`, and with `cache=init_carry(...)` `(logits, carry)`.
    A token below 0 is padding: it may only stand at the end of a row, and leaves the carry as it is. There are no
    positions. The rates are embedding_dropout, on the embedding, and residual_dropout, on each layer's output.
    """

    config: ModelConfig

    def setup(self):
        c, dtype = self.config, jnp.dtype(self.config.param_dtype)
        normal = nn.initializers.normal(c.initialization_std)
        self.wte = self.param("wte", normal, (c.vocab_size, c.d_model), dtype)
        if not c.tie_embeddings:
            self.lm_head = self.param("lm_head", normal, (c.vocab_size, c.d_model), dtype)
        self.block = [LSTMLayer(c) for _ in range(c.n_layer)]
        self.embedding_dropout = nn.Dropout(c.embedding_dropout)
        self.residual_dropout = nn.Dropout(c.residual_dropout)

    def __call__(
        self, tokens_BT: jax.Array, cache: Carry | None = None, *, deterministic: bool = True
    ) -> jax.Array | tuple[jax.Array, Carry]:
        h_BTM, head_VM, new_cache = self.hidden(tokens_BT, cache, deterministic=deterministic)
        logits_BTV = logits(self.config, h_BTM, head_VM)
        return logits_BTV if new_cache is None else (logits_BTV, new_cache)

    def hidden(
        self, tokens_BT: jax.Array, cache: Carry | None = None, *, deterministic: bool = True
    ) -> tuple[jax.Array, jax.Array, Carry | None]:
        """The last layer's output `(B, T, M)`, the output matrix `(V, M)`, and the carry."""
        c, dtype = self.config, jnp.dtype(self.config.compute_dtype)
        if tokens_BT.shape[1] > c.context_length:
            raise ValueError(f"{tokens_BT.shape[1]} tokens do not fit the context of {c.context_length}")
        carry = init_carry(c, tokens_BT.shape[0]) if cache is None else cache
        h_BTM = self.wte[jnp.maximum(tokens_BT, 0)].astype(dtype)
        h_BTM = self.embedding_dropout(h_BTM, deterministic=deterministic)
        layers = []
        for block, state in zip(self.block, carry.layers, strict=True):
            h_BTM, state = block(h_BTM, state, tokens_BT >= 0)
            h_BTM = self.residual_dropout(h_BTM, deterministic=deterministic)
            layers.append(state)
        if cache is not None:
            cache = Carry(cache.length_B + (tokens_BT >= 0).sum(axis=1, dtype=jnp.int32), tuple(layers))
        return h_BTM, self.wte if c.tie_embeddings else self.lm_head, cache
