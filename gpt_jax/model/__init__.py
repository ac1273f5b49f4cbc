"""The models: GPT's decoder, and an LSTM to compare it with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpt_jax.config import ModelConfig


def language_model(config: ModelConfig) -> Any:
    """The module that `config.architecture` names: `GPT` or `LSTM`. Both have `__call__`, `hidden` and `logits`."""
    if config.architecture == "lstm":
        from gpt_jax.model.lstm import LSTM

        return LSTM(config)
    from gpt_jax.model.decoder import GPT

    return GPT(config)


def init_cache(config: ModelConfig, batch_size: int, length: int | None = None) -> Any:
    """An empty cache for `batch_size` rows of up to `length` tokens (default: the context): keys and values, or the
    LSTM's carry."""
    if config.architecture == "lstm":
        from gpt_jax.model.lstm import init_carry

        return init_carry(config, batch_size)
    from gpt_jax.model import cache

    return cache.init_cache(config, batch_size, length)
