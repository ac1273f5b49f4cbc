"""The parameters of fine-tuning: which are new, which come from pre-training, and which train.

The tree while training is

    {"model": the language model's, "special": {"wte": (3, M)}, "classifier": {"kernel": (M, C), "bias": (C,)}}

The special tokens' rows are a leaf of their own, so that the rest of the embedding can be frozen exactly. An untied
output matrix has such rows too, "special/lm_head".

Axes: V vocabulary, M model width, C outputs of the head.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from gpt_jax.config import ModelConfig
from gpt_jax.errors import InputError
from gpt_jax.finetuning.transformations import SPECIAL_TOKENS
from gpt_jax.model.interface import language_model
from gpt_jax.training.state import INITIALIZATION, purpose_key

STD = 0.02  # of the classifier and the special tokens: the released code's
Params = dict[str, Any]


def extended(config: ModelConfig) -> ModelConfig:
    """`config` with three more tokens, its layers unrolled."""
    return dataclasses.replace(config, vocab_size=config.vocab_size + SPECIAL_TOKENS, scan_layers=False)


def special_rows(config: ModelConfig, key: jax.Array) -> Params:
    """Embeddings of start, delimiter and extract, N(0, 0.02): `wte`, and `lm_head` where that is not tied."""
    shape, dtype = (SPECIAL_TOKENS, config.d_model), jnp.dtype(config.param_dtype)
    names = ("wte",) if config.tie_embeddings else ("wte", "lm_head")
    return {
        name: (STD * jax.random.normal(jax.random.fold_in(key, n), shape)).astype(dtype) for n, name in enumerate(names)
    }


def with_special_tokens(config: ModelConfig, params: Params, key: jax.Array) -> tuple[ModelConfig, Params]:
    """The model with rows for start, delimiter and extract after its vocabulary, ids config.vocab_size + 0, 1, 2."""
    return dataclasses.replace(config, vocab_size=config.vocab_size + SPECIAL_TOKENS), _extend(
        params, special_rows(config, key)
    )


def _extend(model: Params, special: Params) -> Params:
    return {**model, **{name: jnp.concatenate([model[name], rows]) for name, rows in special.items()}}


def init(
    config: ModelConfig,
    outputs: int,
    seed: int | jax.Array,
    pretrained: Params | None = None,
    transfer_layers: int | None = None,
) -> Params:
    """The tree above at the start of fine-tuning.

    Args:
      config: of the language model, without the special tokens and without `scan_layers`.
      outputs: C, the width of the classifier; its weights are N(0, 0.02), its bias 0.
      seed: of all that is new.
      pretrained: the language model's parameters, layers unrolled; none: from scratch.
      transfer_layers: of `pretrained`, the embeddings and the first n blocks are taken (and the final norm with the
        last of them); none: everything; -1: nothing. The released code's n_transfer.
    """
    key = purpose_key(seed, INITIALIZATION)
    model_key, special_key, classifier_key = (jax.random.fold_in(key, n) for n in range(3))
    layers = config.n_layer if transfer_layers is None else transfer_layers
    whole = pretrained is not None and layers == config.n_layer
    fresh = {} if whole else language_model(config).init(model_key, jnp.zeros((1, 1), jnp.int32))["params"]
    taken = {}
    if pretrained is not None and layers >= 0:
        left = {f"block_{n}" for n in range(layers, config.n_layer)} | (set() if whole else {"ln_f"})
        taken = {name: leaf for name, leaf in pretrained.items() if name not in left}
    dtype = jnp.dtype(config.param_dtype)
    kernel = (STD * jax.random.normal(classifier_key, (config.d_model, outputs))).astype(dtype)
    return {
        "model": {**fresh, **taken},
        "special": special_rows(config, special_key),
        "classifier": {"kernel": kernel, "bias": jnp.zeros(outputs, dtype)},
    }


def joined(params: Params) -> Params:
    """{"model", "classifier"}: the special tokens' rows put after the vocabulary's."""
    return {"model": _extend(params["model"], params["special"]), "classifier": params["classifier"]}


def split(config: ModelConfig, params: Params, trainable: str) -> tuple[Params, Params]:
    """(trained, frozen): the tree cut in two. Frozen leaves get no gradient and no optimizer state.

    "all": everything trains (GPT-1). "head": the classifier and the special tokens. "top:N": those, the last N blocks,
    and with N above 0 the final norm. Raises `InputError`.
    """
    kind, _, count = trainable.partition(":")
    if trainable == "all":
        names = set(params["model"])
    elif trainable == "head":
        names = set()
    elif kind == "top" and count.isdigit() and int(count) <= config.n_layer:
        names = {f"block_{n}" for n in range(config.n_layer - int(count), config.n_layer)}
        names |= {"ln_f"} if int(count) else set()
    else:
        raise InputError(f"finetuning.trainable: {trainable!r} is not allowed: all, head, or top:0 to {config.n_layer}")
    model = params["model"]
    trained = {name: leaf for name, leaf in model.items() if name in names}
    frozen = {name: leaf for name, leaf in model.items() if name not in names}
    return {**params, "model": trained}, frozen


def merged(trained: Params, frozen: Params) -> Params:
    """The inverse of `split`."""
    return {**trained, "model": {**frozen, **trained["model"]}}
