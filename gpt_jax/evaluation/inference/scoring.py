"""Log-probabilities of many token rows. Rows are batched by length, and their common beginnings run once.

Axes: B rows, G groups of rows, T time, N scored positions, M model width, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.config import ModelConfig
from gpt_jax.data.tokenizers import Tokenizer
from gpt_jax.errors import InputError
from gpt_jax.evaluation.inference.batching import batches, bucket, fitted, power_of_two
from gpt_jax.evaluation.inference.encoding import Scored
from gpt_jax.evaluation.inference.requests import Likelihood
from gpt_jax.model.costs import forward_flops_per_token
from gpt_jax.model.int8 import as_float32
from gpt_jax.model.interface import hidden, init_cache, logits
from gpt_jax.model.layers_layout import unstack_layers
from gpt_jax.numerics import pinned

BATCH_TOKENS, CPU_BATCH_TOKENS = 8192, 2048  # rows x padded length of one forward pass; on a CPU, what caches hold
CACHE_BYTES = 1 << 30  # of keys and values at once
LOGIT_BYTES, CPU_LOGIT_BYTES = 1 << 27, 1 << 23  # of logits at once
CPU_COMPILATION_FLOPS = 4e11  # what a CPU computes while it compiles a pass of GPT-2 124M, within a second or two
READ = 4  # tokens of a common beginning, read from a cache, for one token that is run
SHARED = 16  # tokens: a shorter common beginning is not worth a pass of its own
Progress = Callable[[int, int], None]  # (tokens done, tokens in all)


@dataclass(frozen=True)
class TextModel:
    """A model as the evaluator runs it: layers unstacked, in float32 but for matrices of int8. `TextModel.of` makes it.

    `digest` names config, weights and tokenizer; "" means that answers are never cached.
    """

    config: ModelConfig
    params: Any
    tokenizer: Tokenizer
    digest: str = ""

    @classmethod
    def of(cls, config: ModelConfig, params: Any, tokenizer: Tokenizer, digest: str = "") -> TextModel:
        params = as_float32(unstack_layers(config, params))
        config = dataclasses.replace(
            config, scan_layers=False, compute_dtype="float32", matmul_dtype="float32", param_dtype="float32"
        )
        return cls(config, params, tokenizer, digest)


@pinned()
def score(
    model: TextModel,
    rows: Sequence[Scored],
    *,
    batch_tokens: int | None = None,
    share: bool = True,
    progress: Progress = lambda done, total: None,
) -> list[Likelihood]:
    """The likelihood of the scored tokens of each row, in the order of `rows`.

    `batch_tokens` bounds a forward pass (1: one row at a time; None: what suits the device). With `share`,
    neighbouring rows that begin alike (a context and its continuations) run their common beginning once, and its
    cache serves each of them. Raises `InputError` on a row whose ids are no entries, or that is too long.
    """
    for number, row in enumerate(rows):
        _check_row(model.config, number, row)
    batch_tokens = suitable_tokens() if batch_tokens is None else batch_tokens
    asked = [n for n, row in enumerate(rows) if row.start < len(row.tokens)]
    groups = [[asked[n] for n in same] for same in group([rows[n] for n in asked])] if share else [[n] for n in asked]
    plan = [(members, common_tokens([rows[n] for n in members])) for members in groups]
    alone = [n for members, common in plan if common == 0 for n in members]
    shared = [(members, common) for members, common in plan if common]
    sums = Sums(rows)
    meter = Meter(progress, sum(len(rows[n].tokens) for n in alone) + sum(_cost(rows, *item) for item in shared))
    width_of = fitted([len(rows[n].tokens) - 1 for n in alone], worth_compiling(model.config))
    with jax.default_matmul_precision("float32"):
        for batch in batches(alone, lambda n: (width_of(len(rows[n].tokens) - 1), rows[n].forbidden), batch_tokens):
            _run(model, rows, batch, [0] * len(batch), None, sums, width_of)
            meter.add(sum(len(rows[n].tokens) for n in batch))
        per_token = 8 * model.config.n_layer * model.config.n_head * model.config.head_width
        most = max(1, min(batch_tokens, CACHE_BYTES // per_token))
        for batch in batches(shared, lambda item: (bucket(item[1]), rows[item[0][0]].forbidden), most):
            _run_shared(model, rows, batch, most, sums)
            meter.add(sum(_cost(rows, *item) for item in batch))
    return sums.likelihoods()


def _check_row(config: ModelConfig, number: int, row: Scored) -> None:
    """Raises `InputError` where a lookup would be clamped, or a position is past the context."""
    ids_T = np.asarray(row.tokens)
    last = config.vocab_size - 1
    if ids_T.size and (ids_T.dtype.kind not in "iu" or ids_T.min() < 0 or ids_T.max() > last):
        wrong = next(token for token in row.tokens if token != int(token) or not 0 <= token <= last)
        raise InputError(f"row {number}: token {wrong!r} is not allowed: whole numbers from 0 to {last}")
    if row.start < 1 or len(row.tokens) - 1 > config.context_length:
        raise InputError(
            f"row {number}: {len(row.tokens)} tokens scored from number {row.start} are not allowed: from 1 on, and at "
            f"most {config.context_length + 1} tokens"
        )


def suitable_tokens() -> int:
    """The tokens of a forward pass that JAX's default device is fast with (benchmarks/scoring.py)."""
    return CPU_BATCH_TOKENS if jax.default_backend() == "cpu" else BATCH_TOKENS


def worth_compiling(config: ModelConfig) -> float:
    """The tokens that a further length has to save before it is worth a compilation: on an accelerator, none are."""
    if jax.default_backend() != "cpu":
        return math.inf
    return CPU_COMPILATION_FLOPS / forward_flops_per_token(config)


def group(rows: Sequence[Scored]) -> list[list[int]]:
    """Row numbers, those of neighbours together that have half of their tokens, and at least `SHARED`, in common."""
    groups: list[list[int]] = []
    for n, row in enumerate(rows):
        if groups:
            first = rows[groups[-1][0]].tokens
            common = common_tokens([rows[groups[-1][0]], row])
            alike = rows[groups[-1][0]].forbidden == row.forbidden
            if alike and common >= SHARED and 2 * common >= max(len(row.tokens), len(first)):
                groups[-1].append(n)
                continue
        groups.append([n])
    return groups


def common_tokens(rows: Sequence[Scored]) -> int:
    """How many input tokens all `rows` begin with, and 0 for one row. Each row keeps one token of its own to run."""
    if len(rows) < 2:
        return 0
    first = np.asarray(rows[0].tokens)
    common = min(len(row.tokens) for row in rows) - 2
    for row in rows[1:]:
        width = min(len(first), len(row.tokens))
        different = np.nonzero(first[:width] != np.asarray(row.tokens[:width]))[0]
        common = min(common, int(different[0]) - 1 if len(different) else width - 2)
    return max(common, 0)


def _cost(rows: Sequence[Scored], members: Sequence[int], common: int) -> int:
    return common + sum(len(rows[n].tokens) - common for n in members)


def _run_shared(model: TextModel, rows, items: list[tuple[list[int], int]], most: int, sums: Sums) -> None:
    """Runs the common beginnings of some groups, then each row's own tokens on top of its group's cache."""
    width = min(bucket(max(common for _, common in items)), model.config.context_length)
    own = {n: (g, common) for g, (members, common) in enumerate(items) for n in members}
    longest = bucket(max(len(rows[n].tokens) - 1 - common for n, (_, common) in own.items()))
    tokens_GT = np.full((power_of_two(len(items)), width), -1, np.int32)
    for g, (members, common) in enumerate(items):
        tokens_GT[g, :common] = rows[members[0]].tokens[:common]
    tokens_GT[len(items) :] = tokens_GT[0]
    at, ids, owners = [], [], []
    for g, (members, common) in enumerate(items):
        for n in members:  # a scored token within the common beginning is every member's
            for t in range(rows[n].start, common + 1):
                at.append(g * width + t - 1)
                ids.append(rows[n].tokens[t])
                owners.append((n, t))
    cache = init_cache(model.config, len(tokens_GT), width + longest)
    found, cache = _forward(model, tokens_GT, cache, None, at, ids, _banned(model, rows, owners), True)
    sums.add(owners, found)
    weight = lambda n: bucket(len(rows[n].tokens) - 1 - own[n][1]) + width // READ  # noqa: E731
    for batch in batches(list(own), lambda n: (weight(n), None), most):
        _run(model, rows, batch, [own[n][1] for n in batch], (cache, [own[n][0] for n in batch]), sums, bucket)


def _run(model: TextModel, rows, batch: list[int], starts: list[int], prefix, sums: Sums, width_of) -> None:
    """Runs the tokens of some rows from `starts` on, after nothing or after `(cache, group of each row)`."""
    count = power_of_two(len(batch))
    width = width_of(max(len(rows[n].tokens) - 1 - start for n, start in zip(batch, starts, strict=True)))
    width = min(width, model.config.context_length)
    tokens_BT = np.full((count, width), -1, np.int32)
    at, ids, owners = [], [], []
    for b, (n, start) in enumerate(zip(batch, starts, strict=True)):
        inputs = rows[n].tokens[start:-1]
        tokens_BT[b, : len(inputs)] = inputs
        for t in range(max(rows[n].start, start + 1), len(rows[n].tokens)):
            at.append(b * width + t - 1 - start)
            ids.append(rows[n].tokens[t])
            owners.append((n, t))
    tokens_BT[len(batch) :] = tokens_BT[0]
    cache, groups_B = None, None
    if prefix is not None:
        cache, groups = prefix
        groups_B = np.array(groups + groups[:1] * (count - len(groups)), np.int32)
    found, _ = _forward(model, tokens_BT, cache, groups_B, at, ids, _banned(model, rows, owners), False)
    sums.add(owners, found)


def _banned(model: TextModel, rows, owners: list[tuple[int, int]]):
    """bool `(V,)` of forbidden ids, and which scored positions they are forbidden at; None where nothing is."""
    first = [t == rows[n].start and bool(rows[n].forbidden) for n, t in owners]
    if not any(first):
        return None
    banned_V = np.zeros(model.config.vocab_size, bool)
    banned_V[list({i for (n, _), here in zip(owners, first, strict=True) if here for i in rows[n].forbidden})] = True
    return banned_V, first


def _forward(model: TextModel, tokens_BT, cache, groups_B, at, ids, banned, keep: bool):
    """One compiled pass, the scored positions padded to a power of two: (log_prob_N, top_N, allowed_N), and cache."""
    size = power_of_two(max(len(at), 16))
    pad = lambda values, dtype: np.pad(np.asarray(values, dtype), (0, size - len(values)))  # noqa: E731
    if banned is not None:
        banned = banned[0], pad(banned[1], bool)
    most = CPU_LOGIT_BYTES if jax.default_backend() == "cpu" else LOGIT_BYTES
    chunk = power_of_two(max(1, most // (4 * model.config.vocab_size)) + 1) // 2
    out, cache = _pass(
        model.config,
        min(chunk, size),
        keep,
        model.params,
        tokens_BT,
        cache,
        groups_B,
        pad(at, np.int32),
        pad(ids, np.int32),
        banned,
    )
    return tuple(np.asarray(part)[: len(at)] for part in out), cache


@partial(jax.jit, static_argnums=(0, 1, 2))
def _pass(
    config: ModelConfig,
    chunk: int,
    keep: bool,
    params: Any,
    tokens_BT: jax.Array,
    cache: Any,
    groups_B: jax.Array | None,
    at_N: jax.Array,
    targets_N: jax.Array,
    banned: Any,
):
    """Logits exist for the scored positions only, `chunk` of them at a time."""
    if groups_B is not None:
        cache = jax.tree.map(lambda leaf: leaf[groups_B], cache)
    hidden_BTM, head_VM, cache = hidden(config, params, tokens_BT, cache)
    hidden_NM = hidden_BTM.reshape(-1, hidden_BTM.shape[-1])[at_N]

    def read(part):
        hidden_CM, target_C, first_C = part
        logits_CV = logits(config, hidden_CM[None], head_VM)[0]
        of_target_C1 = jnp.take_along_axis(logits_CV, target_C[:, None], axis=1)
        log_prob_C = (of_target_C1 - jax.nn.logsumexp(logits_CV, axis=-1, keepdims=True))[:, 0]
        # The target is argmax's choice if none before it is as likely and none after it likelier; XLA's argmax on a CPU
        # takes longer than all else here.
        before_CV = jnp.arange(logits_CV.shape[1]) < target_C[:, None]
        ahead_CV = jnp.where(before_CV, logits_CV >= of_target_C1, logits_CV > of_target_C1)
        top_C = ~ahead_CV.any(axis=-1)
        if first_C is None:
            return log_prob_C, top_C, top_C
        banned_CV = first_C[:, None] & banned[0]
        allowed_C = ~(ahead_CV & ~banned_CV).any(axis=-1) & ~(first_C & banned[0][target_C])
        return log_prob_C, top_C, allowed_C

    split = lambda leaf: leaf.reshape(-1, chunk, *leaf.shape[1:])  # noqa: E731
    parts = jax.tree.map(split, (hidden_NM, targets_N, None if banned is None else banned[1]))
    out = jax.tree.map(lambda leaf: leaf.reshape(-1), jax.lax.map(read, parts))
    return out, cache if keep else None


class Sums:
    """The likelihoods as they come in, one scored token at a time."""

    def __init__(self, rows: Sequence[Scored]):
        self._log_prob = np.zeros(len(rows), np.float64)
        self._greedy, self._allowed = np.ones(len(rows), bool), np.ones(len(rows), bool)
        self._tokens = [max(len(row.tokens) - row.start, 0) for row in rows]

    def add(self, owners: list[tuple[int, int]], found: tuple[np.ndarray, ...]) -> None:
        """Counts each position, of (row, time), for its row."""
        log_prob_N, top_N, allowed_N = found
        owner_N = np.array([n for n, _ in owners], np.int64)
        np.add.at(self._log_prob, owner_N, log_prob_N.astype(np.float64))
        np.logical_and.at(self._greedy, owner_N, top_N)
        np.logical_and.at(self._allowed, owner_N, allowed_N)

    def likelihoods(self) -> list[Likelihood]:
        columns = zip(self._log_prob, self._tokens, self._greedy, self._allowed, strict=True)
        return [Likelihood(float(lp), tokens, bool(g), bool(a)) for lp, tokens, g, a in columns]


class Meter:
    """Counts tokens for a progress callback."""

    def __init__(self, progress: Progress, total: int):
        self._progress, self._done, self._total = progress, 0, total
        progress(0, total)

    def add(self, tokens: int) -> None:
        self._done += tokens
        self._progress(self._done, self._total)
