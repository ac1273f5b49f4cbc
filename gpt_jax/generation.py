"""Text from a model: one compiled loop over a key/value cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.config import ModelConfig
from gpt_jax.errors import InputError
from gpt_jax.model import init_cache, language_model
from gpt_jax.model.layers_layout import unstack_layers
from gpt_jax.sharding import constrain


def generate(
    config: ModelConfig,
    params: Any,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    key: jax.Array | None = None,
    stop_token: int | None = None,
) -> list[list[int]]:
    """Continuations of `prompts` (token lists; their lengths may differ), a list of token lists.

    Each new token is drawn from softmax(logits / temperature), cut to the `top_k` likeliest and to the fewest
    likeliest that hold `top_p` of the probability (Holtzman et al. 2019); temperature 0 is greedy and needs no
    `key`. A row draws the same tokens whatever stands beside it at the same row number. Generation ends after
    `max_new_tokens`, or before `stop_token`. Raises `InputError`.
    """
    _check(config, prompts, max_new_tokens, temperature, top_k, top_p, key)
    if not prompts or max_new_tokens == 0:
        return [[] for _ in prompts]
    if config.scan_layers:
        params, config = unstack_layers(config, params), dataclasses.replace(config, scan_layers=False)
    if jax.default_backend() == "cpu":  # XLA's product of one bfloat16 row reads weights 20 times slower
        config = dataclasses.replace(config, compute_dtype="float32", matmul_dtype="float32")
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)
    lengths = [len(prompt) for prompt in prompts]
    width = min(_bucket(max(lengths)), config.context_length)
    tokens_BT = np.full((len(prompts), width), -1, np.int32)
    for row, prompt in zip(tokens_BT, prompts, strict=True):
        row[: len(prompt)] = prompt
    cut = (top_k if top_k is not None and top_k < config.vocab_size else None, top_p is not None and top_p < 1)
    out_BN = _generate(
        config, min(_bucket(width + max_new_tokens), config.context_length), cut, temperature == 0,
        params, tokens_BT, max_new_tokens, np.float32(temperature), np.float32(1.0 if top_p is None else top_p),
        jax.random.key(0) if key is None else key, -1 if stop_token is None else stop_token,
    )  # fmt: skip
    continuations = [row[:max_new_tokens] for row in np.asarray(out_BN).tolist()]
    if stop_token is not None:
        continuations = [row[: row.index(stop_token)] if stop_token in row else row for row in continuations]
    return continuations


def _check(config, prompts, max_new_tokens, temperature, top_k, top_p, key) -> None:
    def require(holds, name, value, allowed):
        if not holds:
            raise InputError(f"{name}: {value!r} is not allowed: {allowed}")

    require(max_new_tokens >= 0, "max_new_tokens", max_new_tokens, "at least 0")
    require(temperature >= 0, "temperature", temperature, "at least 0")
    require(temperature == 0 or key is not None, "key", key, "a jax.random.key, unless temperature is 0")
    require(top_k is None or top_k >= 1, "top_k", top_k, "at least 1, or none")
    require(top_p is None or 0 < top_p <= 1, "top_p", top_p, "0 < top_p <= 1, or none")
    for prompt in prompts:
        require(len(prompt) > 0, "prompt", prompt, "at least one token")
        wrong = [token for token in prompt if not 0 <= token < config.vocab_size]
        require(not wrong, "prompt token", wrong[:1], f"0 to {config.vocab_size - 1}")
        total, context = len(prompt) + max_new_tokens, config.context_length
        require(
            total <= context, "max_new_tokens", max_new_tokens,
            f"the prompt's {len(prompt)} tokens and the new ones must fit the context of {context}",
        )  # fmt: skip


def _bucket(length: int) -> int:
    """The next power of two, at least 16: few distinct shapes, few compilations."""
    return max(16, 1 << (length - 1).bit_length())


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _generate(
    config: ModelConfig, slots: int, cut: tuple[int | None, bool], greedy: bool,
    params: Any, prompt_BT: jax.Array, count: jax.Array, temperature: jax.Array, top_p: jax.Array,
    key: jax.Array, stop_token: jax.Array,
) -> jax.Array:  # fmt: skip
    """All of it in one program: the prompts at once, then a token at a time. int32 `(B, N)`, -1 where none."""
    model: Any = language_model(config)
    rows, variables = prompt_BT.shape[0], {"params": params}
    row_keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(rows))

    def draw(logits_BV, step):
        if greedy:
            return logits_BV.argmax(axis=-1).astype(jnp.int32)
        logits_BV = cut_tail(logits_BV / temperature, cut[0], top_p if cut[1] else None)
        keys = jax.vmap(lambda row_key: jax.random.fold_in(row_key, step))(row_keys)
        return jax.vmap(jax.random.categorical)(keys, logits_BV).astype(jnp.int32)

    hidden_BTM, head_VM, cache = model.apply(
        variables, prompt_BT, init_cache(config, rows, slots), method="hidden"
    )  # fmt: skip
    last_B = (prompt_BT >= 0).sum(axis=1) - 1
    last_B1M = jnp.take_along_axis(hidden_BTM, last_B[:, None, None], axis=1)
    logits_BV = model.apply(variables, last_B1M, head_VM, method="logits")[:, 0]
    token_B = draw(logits_BV, 0)
    out_BN = jnp.full((rows, slots), -1, jnp.int32).at[:, 0].set(token_B)

    def unfinished(carry):
        step, _, _, _, stopped_B = carry
        return (step < count) & ~stopped_B.all()

    def next_token(carry):
        step, token_B, cache, out_BN, stopped_B = carry
        logits_B1V, cache = model.apply(variables, token_B[:, None], cache=cache)
        token_B = draw(logits_B1V[:, 0], step)
        out_BN = jax.lax.dynamic_update_slice(out_BN, token_B[:, None], (0, step))
        return step + 1, token_B, cache, out_BN, stopped_B | (token_B == stop_token)

    carry = jnp.int32(1), token_B, cache, out_BN, token_B == stop_token
    return constrain(jax.lax.while_loop(unfinished, next_token, carry)[3], None, None)


def cut_tail(logits_BV: jax.Array, top_k: int | None, top_p: jax.Array | float | None) -> jax.Array:
    """Logits with the tail at -inf: all but the `top_k` largest, then all but the nucleus of `top_p`.

    The nucleus is the smallest set of the likeliest tokens whose probability reaches `top_p`; never empty.
    """
    if top_k is not None:
        least_B1 = jax.lax.top_k(logits_BV, top_k)[0][:, -1:]
        logits_BV = jnp.where(logits_BV < least_B1, -jnp.inf, logits_BV)
    if top_p is not None:
        sorted_BV = jnp.sort(logits_BV, axis=-1, descending=True)
        probability_BV = jax.nn.softmax(sorted_BV, axis=-1)
        before_BV = jnp.cumsum(probability_BV, axis=-1) - probability_BV
        least_B1 = jnp.where(before_BV < top_p, sorted_BV, jnp.inf).min(axis=-1, keepdims=True)
        logits_BV = jnp.where(logits_BV < least_B1, -jnp.inf, logits_BV)
    return logits_BV
