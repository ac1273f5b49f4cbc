"""What every language model does, as typed functions: tokens to activations and logits, prompts to a cache.

Axes: B batch, T time, M model width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.config import ModelConfig
from gpt_jax.model.cache import Cache
from gpt_jax.model.cache import init_cache as init_keys_and_values
from gpt_jax.model.decoder import GPT
from gpt_jax.model.linear import logits
from gpt_jax.model.lstm import LSTM, Carry, init_carry

AnyCache = Cache | Carry


class Hidden(NamedTuple):
    """The last activations, the output matrix that turns them into logits, and the cache (None without one)."""

    h_BTM: jax.Array
    head_VM: jax.Array
    cache: AnyCache | None


def language_model(config: ModelConfig) -> GPT | LSTM:
    """The module that `config.architecture` names."""
    return LSTM(config) if config.architecture == "lstm" else GPT(config)


def init_cache(config: ModelConfig, batch_size: int, length: int | None = None) -> AnyCache:
    """An empty cache for `batch_size` rows of up to `length` tokens (default: the context): keys and values, or the
    LSTM's carry."""
    if config.architecture == "lstm":
        return init_carry(config, batch_size)
    return init_keys_and_values(config, batch_size, length)


def hidden(
    config: ModelConfig,
    params: Any,
    tokens_BT: jax.Array | np.ndarray,
    cache: AnyCache | None = None,
    dropout_key: jax.Array | None = None,
) -> Hidden:
    """The activations at `tokens_BT` (int32; below 0: padding), which follow what the cache holds. Dropout is on
    when a key is given."""
    rngs = None if dropout_key is None else {"dropout": dropout_key}
    model: Any = language_model(config)
    deterministic = dropout_key is None
    return Hidden(
        *model.apply({"params": params}, tokens_BT, cache, deterministic=deterministic, rngs=rngs, method=model.hidden)
    )


def padded(prompts: Sequence[Sequence[int]], width: int) -> np.ndarray:
    """`prompts` as rows, padded at their end with -1: int32 `(B, width)`."""
    tokens_BT = np.full((len(prompts), width), -1, np.int32)
    for row, prompt in zip(tokens_BT, prompts, strict=True):
        row[: len(prompt)] = prompt
    return tokens_BT


def prefill(
    config: ModelConfig, params: Any, prompt_BT: jax.Array | np.ndarray, slots: int
) -> tuple[jax.Array, AnyCache]:
    """All prompts in one pass: the logits after each prompt's last token, float32 `(B, V)`, and a cache that holds
    the prompts and has room for `slots` tokens in a row."""
    h_BTM, head_VM, cache = hidden(config, params, prompt_BT, init_cache(config, prompt_BT.shape[0], slots))
    assert cache is not None
    last_B = (prompt_BT >= 0).sum(axis=1, dtype=jnp.int32) - 1
    last_B1M = jnp.take_along_axis(h_BTM, last_B[:, None, None], axis=1)
    return logits(config, last_B1M, head_VM)[:, 0], cache


def decode(config: ModelConfig, params: Any, tokens_B: jax.Array, cache: AnyCache) -> tuple[jax.Array, AnyCache]:
    """One more token in each row: the logits after it, float32 `(B, V)`, and the cache."""
    logits_B1V, cache = language_model(config).apply({"params": params}, tokens_B[:, None], cache=cache)  # type: ignore[misc]
    return logits_B1V[:, 0], cache
