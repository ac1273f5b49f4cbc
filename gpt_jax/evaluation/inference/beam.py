"""Beam search with a length penalty, as GPT-3 answers free-form questions (width 4, penalty 0.6).

A hypothesis of n tokens with log-probability s is worth `s / ((5 + n) / 6) ** penalty` (Wu et al. 2016, equation 14;
GPT-3, section 2.4, names width and penalty only). It ends with a stop token, which counts, or at the last step.

Axes: B prompts, K beams, N new tokens, V vocabulary.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.config import ModelConfig
from gpt_jax.errors import InputError
from gpt_jax.evaluation.inference.batching import bucket
from gpt_jax.evaluation.inference.scoring import TextModel
from gpt_jax.generation import Prompts, token_rows
from gpt_jax.model.interface import decode, padded, prefill
from gpt_jax.numerics import pinned


@pinned()
def beam_search(
    model: TextModel, prompts: Prompts, max_tokens: int, beams: int, penalty: float, stop_V: np.ndarray
) -> list[list[int]]:
    """The best hypothesis after each prompt, without its stop token.

    `prompts` are what `generate` takes, and `stop_V` is bool `(V,)`. Ties go to the lower token id.

    Raises:
      InputError: ids that are no entries, `beams` or `max_tokens` that are no counts, more than fits the context.
    """
    context, vocabulary = model.config.context_length, model.config.vocab_size
    rows = token_rows(prompts, vocabulary)
    _require_count("max_tokens", max_tokens, 0, context - max(map(len, rows), default=0))
    _require_count("beams", beams, 1, (2**31 - 1) // vocabulary)  # the search numbers all continuations in int32
    if not rows or max_tokens == 0:
        return [[] for _ in rows]
    width = min(bucket(max(map(len, rows))), context)
    prompt_BT = padded(rows, width)
    with jax.default_matmul_precision("float32"):
        out_BN = _search(model.config, beams, max_tokens, model.params, prompt_BT, np.float32(penalty), stop_V)
    return [[i for i in row if i >= 0] for row in np.asarray(out_BN).tolist()]


def _require_count(name: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"{name}: {value!r} is not allowed: a whole number from {low} to {high}")


def length_penalty(tokens: Any, penalty: Any) -> Any:
    """`((5 + n) / 6) ** penalty`."""
    return ((5.0 + tokens) / 6.0) ** penalty


@partial(jax.jit, static_argnums=(0, 1, 2))
def _search(config: ModelConfig, beams: int, steps: int, params, prompt_BT, penalty, stop_V) -> jax.Array:
    rows, (K, V) = prompt_BT.shape[0], (beams, config.vocab_size)
    logits_BV, cache = prefill(config, params, prompt_BT, prompt_BT.shape[1] + steps)
    cache = jax.tree.map(lambda leaf: jnp.repeat(leaf, K, axis=0), cache)  # row b * K + k
    logits_BKV = jnp.repeat(logits_BV[:, None], K, axis=1)
    alive_BK = jnp.where(jnp.arange(K) == 0, 0.0, -jnp.inf)[None].repeat(rows, axis=0)  # all beams are one at first
    tokens_BKN = jnp.full((rows, K, steps), -1, jnp.int32)
    best_B, best_BN = jnp.full(rows, -jnp.inf), jnp.full((rows, steps), -1, jnp.int32)

    def better(best, value_BK, candidates_BKN):
        """The best of the former best and of K candidates."""
        best_B, best_BN = best
        k_B1 = value_BK.argmax(axis=1)[:, None]
        value_B = jnp.take_along_axis(value_BK, k_B1, axis=1)[:, 0]
        candidate_BN = jnp.take_along_axis(candidates_BKN, k_B1[:, :, None], axis=1)[:, 0]
        wins_B = value_B > best_B
        return jnp.where(wins_B, value_B, best_B), jnp.where(wins_B[:, None], candidate_BN, best_BN)

    def unfinished(carry):
        """True while a beam can overtake. A log-probability only falls, and the penalty is largest at the last step."""
        step, _, alive_BK, _, _, best = carry
        return (step < steps) & (alive_BK.max(axis=1) / length_penalty(steps, penalty) > best[0]).any()

    def extend(carry):
        step, logits_BKV, alive_BK, tokens_BKN, cache, best = carry
        total_BKV = alive_BK[:, :, None] + jax.nn.log_softmax(logits_BKV)
        ended_BK = jnp.where(stop_V, total_BKV, -jnp.inf).max(axis=2) / length_penalty(step + 1, penalty)
        best = better(best, ended_BK, tokens_BKN)
        going_BKV = jnp.where(stop_V, -jnp.inf, total_BKV)
        alive_BK, flat_BK = jax.lax.top_k(going_BKV.reshape(rows, K * V), K)
        from_BK, token_BK = flat_BK // V, flat_BK % V
        tokens_BKN = jnp.take_along_axis(tokens_BKN, from_BK[:, :, None], axis=1).at[:, :, step].set(token_BK)
        source = (jnp.arange(rows)[:, None] * K + from_BK).reshape(-1)
        cache = jax.tree.map(lambda leaf: leaf[source], cache)
        logits_NV, cache = decode(config, params, token_BK.reshape(-1), cache)
        return step + 1, logits_NV.reshape(rows, K, V), alive_BK, tokens_BKN, cache, best

    carry = jnp.int32(0), logits_BKV, alive_BK, tokens_BKN, cache, (best_B, best_BN)
    step, _, alive_BK, tokens_BKN, _, best = jax.lax.while_loop(unfinished, extend, carry)
    # Beams that ran to the end count as they stand; those cut off early cannot win.
    at_end_BK = jnp.where(step == steps, alive_BK / length_penalty(steps, penalty), -jnp.inf)
    return better(best, at_end_BK, tokens_BKN)[1]
