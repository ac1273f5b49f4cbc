"""The decoder of GPT-1, GPT-2 and GPT-3.

    h_0 = U W_e + W_p;   h_l = block(h_{l-1}), l = 1..n;   P(u) = softmax(h_n W_e^T)      (GPT-1, equation 2)

Axes: B batch, T time, H heads, D head width, M model width, F feed-forward width, V vocabulary, C context.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gpt_jax.attention.patterns import Pattern
from gpt_jax.config import ModelConfig
from gpt_jax.model.cache import Cache, LayerCache
from gpt_jax.model.linear import Linear, logits
from gpt_jax.model.products import from_tables, recomputed, stream
from gpt_jax.model.self_attention import SelfAttention
from gpt_jax.sharding import PARAMETERS

LayerCaches = tuple[LayerCache | None, ...]


def layer_norm(config: ModelConfig, name: str) -> nn.LayerNorm:
    """Layer norm with gain 1 and bias 0 at the start. Its statistics are float32 and two-pass, as released."""
    dtype, held = jnp.dtype(config.compute_dtype), jnp.dtype(config.param_dtype)
    return nn.LayerNorm(config.layer_norm_epsilon, dtype=dtype, param_dtype=held, use_fast_variance=False, name=name)


class Mlp(nn.Module):
    """`gelu(x W + b) W' + b'`, with the tanh form of GELU that all three released codes use."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x_BTM: jax.Array) -> jax.Array:
        c = self.config
        x_BTF = Linear(c, (c.mlp_width,), axes=PARAMETERS["up/kernel"], name="up")(x_BTM)
        x_BTF = nn.gelu(x_BTF, approximate=True)
        return Linear(c, (c.d_model,), residual=True, axes=PARAMETERS["down/kernel"], name="down")(x_BTF)


class Block(nn.Module):
    """One layer. Post-LN: `n = LN(x + attention(x)); h = LN(n + mlp(n))` (GPT-1).

    Pre-LN: `n = x + attention(LN(x)); h = n + mlp(LN(n))` (GPT-2, GPT-3).
    """

    config: ModelConfig
    pattern: Pattern

    @nn.compact
    def __call__(
        self, x_BTM: jax.Array, cache: LayerCache | None, positions_BT: jax.Array | None, deterministic: bool
    ) -> tuple[jax.Array, LayerCache | None]:
        c = self.config
        attention, mlp = SelfAttention(c, self.pattern, name="attention"), Mlp(c, name="mlp")
        ln_1, ln_2 = layer_norm(c, "ln_1"), layer_norm(c, "ln_2")
        dropout = nn.Dropout(c.residual_dropout, deterministic=deterministic)
        if c.norm == "post":
            out_BTM, cache = attention(x_BTM, cache, positions_BT, deterministic=deterministic)
            x_BTM = stream(ln_1(x_BTM + dropout(out_BTM)))
            return stream(ln_2(x_BTM + dropout(mlp(x_BTM)))), cache
        out_BTM, cache = attention(ln_1(x_BTM), cache, positions_BT, deterministic=deterministic)
        x_BTM = stream(x_BTM + dropout(out_BTM))
        return stream(x_BTM + dropout(mlp(ln_2(x_BTM)))), cache


class Period(nn.Module):
    """The blocks of one period of the attention patterns. A period is the body of the scan over layers."""

    config: ModelConfig

    @nn.compact
    def __call__(
        self, x_BTM: jax.Array, caches: LayerCaches, positions_BT: jax.Array | None, deterministic: bool
    ) -> tuple[jax.Array, LayerCaches]:
        written = []
        for n, cache in enumerate(caches):
            block = recomputed(Block, self.config)(self.config, self.config.pattern(n), name=f"block_{n}")
            x_BTM, cache = block(x_BTM, cache, positions_BT, deterministic)
            written.append(cache)
        return x_BTM, tuple(written)


class GPT(nn.Module):
    """Logits for every next token.

    `model.init(key, tokens_BT)["params"]`; `model.apply({"params": params}, tokens_BT)` -> float32 `(B, T, V)`.
    With `cache=init_cache(...)`, the tokens follow those the cache holds, and the result is
    `(logits_BTV, cache)`. A token below 0 is padding: it may only stand at the end of a row, is never cached,
    and its logits mean nothing. Training passes `deterministic=False, rngs={"dropout": key}`.
    """

    config: ModelConfig

    def setup(self):
        c, dtype = self.config, jnp.dtype(self.config.param_dtype)
        token_std = position_std = c.initialization_std
        if c.initialization.startswith("gpt2"):  # the released model.py: wte 0.02, wpe 0.01
            position_std /= 2
        normal = nn.initializers.normal
        self.wte = self.param("wte", normal(token_std), (c.vocab_size, c.d_model), dtype)
        self.wpe = self.param("wpe", normal(position_std), (c.context_length, c.d_model), dtype)
        if not c.tie_embeddings:
            self.lm_head = self.param("lm_head", normal(token_std), (c.vocab_size, c.d_model), dtype)
        if c.scan_layers:
            self.blocks = nn.scan(
                Period,
                variable_axes={"params": 0},
                split_rngs={"params": True, "dropout": True},
                in_axes=(0, nn.broadcast, nn.broadcast),  # type: ignore[arg-type]
                length=c.n_layer // c.attention_period,
            )(c)
        else:
            self.block = [recomputed(Block, c)(c, c.pattern(n)) for n in range(c.n_layer)]
        if c.norm == "pre":
            self.ln_f = layer_norm(c, "ln_f")
        self.dropout = nn.Dropout(c.embedding_dropout)

    def __call__(
        self, tokens_BT: jax.Array, cache: Cache | None = None, *, deterministic: bool = True
    ) -> jax.Array | tuple[jax.Array, Cache]:
        h_BTM, head_VM, new_cache = self.hidden(tokens_BT, cache, deterministic=deterministic)
        logits_BTV = logits(self.config, h_BTM, head_VM)
        return logits_BTV if new_cache is None else (logits_BTV, new_cache)

    def hidden(
        self, tokens_BT: jax.Array, cache: Cache | None = None, *, deterministic: bool = True
    ) -> tuple[jax.Array, jax.Array, Cache | None]:
        """The last block's activations h_n (after the final norm, where there is one), `(B, T, M)`, the output
        matrix `(V, M)` that turns them into logits, and the cache."""
        c, dtype = self.config, jnp.dtype(self.config.compute_dtype)
        if tokens_BT.shape[1] > c.context_length:
            raise ValueError(f"{tokens_BT.shape[1]} tokens do not fit the context of {c.context_length}")
        wte_VM, wpe_CM = self.wte, self.wpe
        if c.embedding_dropout_target == "matrix":
            wte_VM, wpe_CM = (self.dropout(w, deterministic=deterministic) for w in (wte_VM, wpe_CM))
        positions_BT = None
        if cache is None:
            position_BTM = wpe_CM[None, : tokens_BT.shape[1]]
        else:
            reached_BT = cache.length_B[:, None] + jnp.arange(tokens_BT.shape[1], dtype=jnp.int32)[None]
            positions_BT = jnp.where(tokens_BT >= 0, reached_BT, -1)
            position_BTM = wpe_CM[reached_BT]
        h_BTM = from_tables(wte_VM[jnp.maximum(tokens_BT, 0)] + position_BTM, dtype)
        if c.embedding_dropout_target == "activations":
            h_BTM = self.dropout(h_BTM, deterministic=deterministic)

        count = c.attention_period if c.scan_layers else c.n_layer
        layers: Any = (None,) * count if cache is None else cache.layers
        if c.scan_layers:
            h_BTM, layers = self.blocks(h_BTM, layers, positions_BT, deterministic)
        else:
            layers = list(layers)
            for n, block in enumerate(self.block):
                h_BTM, layers[n] = block(h_BTM, layers[n], positions_BT, deterministic)
        if c.norm == "pre":
            h_BTM = self.ln_f(h_BTM)
        if cache is not None:
            cache = Cache(cache.length_B + (tokens_BT >= 0).sum(axis=1, dtype=jnp.int32), tuple(layers))
        return h_BTM, wte_VM if c.tie_embeddings else self.lm_head, cache
