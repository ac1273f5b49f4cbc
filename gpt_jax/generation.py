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
from gpt_jax.model.int8 import as_float32
from gpt_jax.model.interface import decode, padded, prefill
from gpt_jax.model.layers_layout import unstack_layers
from gpt_jax.numerics import PRNG, pinned, typed_key
from gpt_jax.sharding import constrain, on_cuda

GREEDY = 1e-5  # temperatures below it are greedy: a token 0.001 nats behind the likeliest would have e^-100
LEAST_CUDA_ROWS = 8  # of a batch; further rows are copies of the last, and are dropped
Prompts = Sequence[Sequence[int]] | Sequence[np.ndarray] | np.ndarray | jax.Array


@pinned()
def generate(
    config: ModelConfig,
    params: Any,
    prompts: Prompts,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    key: jax.Array | None = None,
    stop_token: int | None = None,
) -> list[list[int]]:
    """Continuations of `prompts`, a list of token lists.

    Each new token is drawn from softmax(logits / temperature). The softmax is cut to the `top_k` likeliest tokens, and
    then to the nucleus: the fewest likeliest tokens that hold `top_p` of the probability (Holtzman et al. 2019). Of
    equally likely tokens, those of lower ids are kept. A temperature below 1e-5 is greedy, and takes the lowest id
    where several are likeliest. top_k = 1 and a top_p near 0 are greedy too. A row draws the same tokens whatever
    stands beside it at the same row number. Generation ends after `max_new_tokens`, or before `stop_token`.

    Args:
      prompts: rows of token ids whose lengths may differ: lists, or NumPy or JAX arrays of any integer dtype. A
        two-dimensional array is a batch of rows, and a one-dimensional one a single row.
      key: a `jax.random.key` of any implementation, or a raw one of `jax.random.PRNGKey`; temperature 0 needs none.

    Raises:
      InputError: an argument is not allowed; of a prompt, the row and the token are named.
    """
    rows = token_rows(prompts, config.vocab_size)
    _check(config, rows, max_new_tokens, temperature, top_k, top_p, key, stop_token)
    if not rows or max_new_tokens == 0:
        return [[] for _ in rows]
    if config.scan_layers:
        params, config = unstack_layers(config, params), dataclasses.replace(config, scan_layers=False)
    if jax.default_backend() == "cpu":  # XLA's product of one bfloat16 row reads weights 20 times slower
        config = dataclasses.replace(config, compute_dtype="float32", matmul_dtype="float32")
        params = as_float32(params)
    wanted = len(rows)
    if on_cuda():  # XLA's products of fewer rows are slow there
        rows = rows + rows[-1:] * (LEAST_CUDA_ROWS - wanted)
    width = min(_bucket(max(map(len, rows))), config.context_length)
    out_BN = _generate(
        config,
        min(_bucket(width + max_new_tokens), config.context_length),
        (top_k if top_k is not None and top_k < config.vocab_size else None, top_p is not None and top_p < 1),
        temperature < GREEDY,
        params,
        padded(rows, width),
        np.int32(max_new_tokens),
        np.float32(temperature),
        np.float32(1.0 if top_p is None else top_p),
        jax.random.key(0, impl=PRNG) if key is None else typed_key(key),
        np.int32(-1 if stop_token is None else stop_token),
    )
    continuations = [row[:max_new_tokens] for row in np.asarray(out_BN[:wanted]).tolist()]
    if stop_token is not None:
        continuations = [row[: row.index(stop_token)] if stop_token in row else row for row in continuations]
    return continuations


def token_rows(prompts: Prompts, vocab_size: int) -> list[list[int]]:
    """`prompts` as lists of whole numbers below `vocab_size`. Raises `InputError` with the row and the value."""
    if isinstance(prompts, np.ndarray | jax.Array) and prompts.ndim == 1 and prompts.size:
        prompts = [np.asarray(prompts)]
    if isinstance(prompts, str | bytes | dict) or not hasattr(prompts, "__len__") or not hasattr(prompts, "__iter__"):
        raise InputError(f"prompts: {prompts!r} is not allowed: rows of token ids")
    return [_token_row(number, row, vocab_size) for number, row in enumerate(prompts)]


def _token_row(number: int, row: Any, vocab_size: int) -> list[int]:
    if isinstance(row, np.ndarray | jax.Array):
        row = np.asarray(row).tolist()
    if not isinstance(row, Sequence) or isinstance(row, str | bytes) or len(row) == 0:
        raise InputError(f"prompt {number}: {row!r} is not allowed: at least one token id, in a row")
    tokens = []
    for token in row:
        if isinstance(token, np.generic) or (isinstance(token, np.ndarray | jax.Array) and token.ndim == 0):
            token = token.item()
        if type(token) is not int or not 0 <= token < vocab_size:
            raise InputError(
                f"prompt {number}: token {token!r} is not allowed: whole numbers from 0 to {vocab_size - 1}"
            )
        tokens.append(token)
    return tokens


def _check(config, rows, max_new_tokens, temperature, top_k, top_p, key, stop_token) -> None:
    def require(holds, name, value, allowed):
        if not holds:
            raise InputError(f"{name}: {value!r} is not allowed: {allowed}")

    def number(value, *kinds):
        return isinstance(value, kinds) and not isinstance(value, bool)

    whole, real = (int, np.integer), (int, float, np.integer, np.floating)
    require(number(max_new_tokens, *whole) and max_new_tokens >= 0, "max_new_tokens", max_new_tokens, "at least 0")
    require(number(temperature, *real) and 0 <= temperature < np.inf, "temperature", temperature, "at least 0")
    require(temperature < GREEDY or key is not None, "key", key, "a jax.random.key, unless temperature is 0")
    require(top_k is None or (number(top_k, *whole) and top_k >= 1), "top_k", top_k, "at least 1, or none")
    require(top_p is None or (number(top_p, *real) and 0 < top_p <= 1), "top_p", top_p, "0 < top_p <= 1, or none")
    ids = f"0 to {config.vocab_size - 1}, or none"
    stops = stop_token is None or (number(stop_token, *whole) and 0 <= stop_token < config.vocab_size)
    require(stops, "stop_token", stop_token, ids)
    for row in rows:
        total, context = len(row) + max_new_tokens, config.context_length
        fits = f"the prompt's {len(row)} tokens and the new ones must fit the context of {context}"
        require(total <= context, "max_new_tokens", max_new_tokens, fits)


def _bucket(length: int) -> int:
    """The next power of two, at least 16: few distinct shapes, few compilations."""
    return max(16, 1 << (length - 1).bit_length())


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _generate(
    config: ModelConfig,
    slots: int,
    cut: tuple[int | None, bool],
    greedy: bool,
    params: Any,
    prompt_BT: jax.Array,
    count: jax.Array,
    temperature: jax.Array,
    top_p: jax.Array,
    key: jax.Array,
    stop_token: jax.Array,
) -> jax.Array:
    """All of it in one program: the prompts at once, then a token at a time. int32 `(B, N)`, -1 where none."""
    rows = prompt_BT.shape[0]
    row_keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(rows))

    def draw(logits_BV, step):
        if greedy:
            return logits_BV.argmax(axis=-1).astype(jnp.int32)
        below_BV = logits_BV - logits_BV.max(axis=-1, keepdims=True)  # finite at any temperature
        logits_BV = cut_tail(below_BV / temperature, cut[0], top_p if cut[1] else None)
        keys = jax.vmap(lambda row_key: jax.random.fold_in(row_key, step))(row_keys)
        return jax.vmap(jax.random.categorical)(keys, logits_BV).astype(jnp.int32)

    logits_BV, cache = prefill(config, params, prompt_BT, slots)
    token_B = draw(logits_BV, 0)
    out_BN = jnp.full((rows, slots), -1, jnp.int32).at[:, 0].set(token_B)

    def unfinished(carry):
        step, _, _, _, stopped_B = carry
        return (step < count) & ~stopped_B.all()

    def next_token(carry):
        step, token_B, cache, out_BN, stopped_B = carry
        logits_BV, cache = decode(config, params, token_B, cache)
        token_B = draw(logits_BV, step)
        out_BN = jax.lax.dynamic_update_slice(out_BN, token_B[:, None], (0, step))
        return step + 1, token_B, cache, out_BN, stopped_B | (token_B == stop_token)

    carry = jnp.int32(1), token_B, cache, out_BN, token_B == stop_token
    return constrain(jax.lax.while_loop(unfinished, next_token, carry)[3], None, None)


def cut_tail(logits_BV: jax.Array, top_k: int | None, top_p: jax.Array | float | None) -> jax.Array:
    """Logits with the tail at -inf. Only the `top_k` largest stay, and of them only the nucleus of `top_p`.

    The nucleus is the smallest set of the likeliest tokens whose probability reaches `top_p`; it is never empty. Where
    logits at a cut are equal, lower ids are kept: exactly `top_k` tokens remain.
    """
    if top_k is None and top_p is None:
        return logits_BV
    if top_k is None:
        ids_BK = jnp.argsort(logits_BV, axis=-1, descending=True, stable=True)
        kept_BK = jnp.take_along_axis(logits_BV, ids_BK, axis=-1)
    else:
        kept_BK, ids_BK = jax.lax.top_k(logits_BV, top_k)  # of equals, the lower id first
    if top_p is not None:
        probability_BK = jax.nn.softmax(kept_BK, axis=-1)
        reached_BK = jnp.cumsum(probability_BK, axis=-1) - probability_BK >= top_p
        kept_BK = jnp.where(reached_BK.at[:, 0].set(False), -jnp.inf, kept_BK)
    rows_B1 = jnp.arange(logits_BV.shape[0])[:, None]
    return jnp.full_like(logits_BV, -jnp.inf).at[rows_B1, ids_BK].set(kept_BK)
