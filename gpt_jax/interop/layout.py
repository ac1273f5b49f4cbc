"""Transformers' names and settings for the decoders `openai-gpt` (post-LN) and `gpt2` (pre-LN), and ours.

Every tensor is a reshape of ours: Transformers keeps kernels as (inputs, outputs) too, and its fused
attention projection puts q, k and v side by side, each with its heads in order.

Axes: V vocabulary, C context, M model width, H heads, D head width, F feed-forward width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from gpt_jax.attention.patterns import Dense
from gpt_jax.config import ModelConfig
from gpt_jax.errors import InputError, unknown
from gpt_jax.model.layers_layout import unstack_layers

MODEL_TYPES = {"openai-gpt": "post", "gpt2": "pre"}
HEAD = "lm_head.weight"
TOKEN_EMBEDDING = {"post": "tokens_embed.weight", "pre": "wte.weight"}
POSITION_EMBEDDING = {"post": "positions_embed.weight", "pre": "wpe.weight"}
# GPT-1's class calls the tanh form "gelu"; in GPT-2's, "gelu" is the exact one, which no released GPT uses.
ACTIVATIONS = {
    "openai-gpt": ("afn", ("gelu",)),
    "gpt2": ("activation_function", ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")),
}
# Transformers reads these names too; the last one is older than n_positions.
ALIASES = {
    "n_embd": ("hidden_size",),
    "n_head": ("num_attention_heads",),
    "n_layer": ("num_hidden_layers",),
    "n_positions": ("max_position_embeddings", "n_ctx"),
}
# Settings that change the function, and the only value of each that this decoder computes.
FIXED = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
    "add_cross_attention": False,
    "pruned_heads": {},
    "quantization_config": None,
}


@dataclass(frozen=True)
class Tensor:
    """Where a named tensor lives in our parameter tree, and its shape here and in the file."""

    path: tuple[str, ...]
    shape: tuple[int, ...]
    file_shape: tuple[int, ...]


def named_tensors(config: ModelConfig) -> dict[str, Tensor]:
    """Every tensor of `config`'s model by Transformers' name, without the "transformer." prefix."""
    v, c, m, f = config.vocab_size, config.context_length, config.d_model, config.mlp_width
    heads = (config.n_head, config.head_width)
    hd = config.n_head * config.head_width
    norm = {"weight": ("scale", (m,), (m,)), "bias": ("bias", (m,), (m,))}

    def linear(inputs: tuple[int, ...], outputs: tuple[int, ...], file_shape: tuple[int, int]):
        return {"weight": ("kernel", inputs + outputs, file_shape), "bias": ("bias", outputs, file_shape[1:])}

    modules = {
        ("ln_1",): ("ln_1", norm),
        ("attention", "qkv"): ("attn.c_attn", linear((m,), (3, *heads), (m, 3 * hd))),
        ("attention", "out"): ("attn.c_proj", linear(heads, (m,), (hd, m))),
        ("ln_2",): ("ln_2", norm),
        ("mlp", "up"): ("mlp.c_fc", linear((m,), (f,), (m, f))),
        ("mlp", "down"): ("mlp.c_proj", linear((f,), (m,), (f, m))),
    }
    out = {
        TOKEN_EMBEDDING[config.norm]: Tensor(("wte",), (v, m), (v, m)),
        POSITION_EMBEDDING[config.norm]: Tensor(("wpe",), (c, m), (c, m)),
    }
    for n in range(config.n_layer):
        for path, (name, leaves) in modules.items():
            for theirs, (ours, shape, file_shape) in leaves.items():
                out[f"h.{n}.{name}.{theirs}"] = Tensor((f"block_{n}", *path, ours), shape, file_shape)
    if config.norm == "pre":
        out |= {f"ln_f.{theirs}": Tensor(("ln_f", ours), *shapes) for theirs, (ours, *shapes) in norm.items()}
    if not config.tie_embeddings:
        out[HEAD] = Tensor(("lm_head",), (v, m), (v, m))
    return out


def to_named_tensors(config: ModelConfig, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Our parameters (either layer layout), or anything shaped like them, by Transformers' full names.

    Raises `InputError` when a leaf is missing, left over, or of another shape than `config` says.
    """
    expected = named_tensors(config)
    leaves: dict[tuple[str, ...], Any] = dict(_leaves(unstack_layers(config, dict(params))))
    surplus = sorted(leaves.keys() - {t.path for t in expected.values()})
    if surplus:
        raise InputError(f"params: {'/'.join(surplus[0])} is not part of the model that config describes")
    out = {}
    for name, tensor in expected.items():
        path = "/".join(tensor.path)
        if tensor.path not in leaves:
            raise InputError(f"params: {path} is missing: config asks for {tensor.shape}")
        leaf = np.asarray(leaves[tensor.path])
        if leaf.shape != tensor.shape:
            raise InputError(f"params: {path} has shape {leaf.shape}: config asks for {tensor.shape}")
        out[name if name == HEAD else f"transformer.{name}"] = leaf.reshape(tensor.file_shape)
    return out


def from_named_tensors(config: ModelConfig, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The inverse, unrolled: `block_0 .. block_{L-1}`; the "transformer." prefix may be there or not.

    Raises `InputError` when a tensor is missing, left over, or of another shape than `config` says.
    """
    tensors = {name.removeprefix("transformer."): array for name, array in tensors.items()}
    expected = named_tensors(config)
    for what, names in (("missing", expected.keys() - tensors.keys()), ("left over", tensors.keys() - expected.keys())):
        if names:
            raise InputError(
                f"tensor {min(names)!r} is {what} ({len(names)} in all): allowed: exactly the {len(expected)} tensors "
                f"of this {config.n_layer}-layer model"
            )
    params: dict[str, Any] = {}
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.file_shape:
            raise InputError(
                f"tensor {name!r} has shape {tensors[name].shape}: config.json asks for {tensor.file_shape}"
            )
        node = params
        for key in tensor.path[:-1]:
            node = node.setdefault(key, {})
        node[tensor.path[-1]] = jnp.asarray(tensors[name].reshape(tensor.shape))
    return params


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()):
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def model_config(values: Mapping[str, Any]) -> ModelConfig:
    """The `ModelConfig` of Transformers' `config.json`. Raises `InputError` on what this decoder does not compute.

    Sizes must be there. Any other absent key has Transformers' default.
    """
    model_type = values.get("model_type")
    if model_type not in MODEL_TYPES:
        raise unknown("model_type", str(model_type), MODEL_TYPES)
    activation, allowed = ACTIVATIONS[model_type]
    if values.get(activation, allowed[0]) not in allowed:
        raise InputError(f"{activation}: {values[activation]!r} is not allowed: {' or '.join(allowed)} (tanh form)")
    for key, only in FIXED.items():
        if values.get(key) not in (None, only):
            raise InputError(f"{key}: {values[key]!r} is not allowed: {only!r}")

    def number(key: str, kinds: tuple[type, ...], default: Any) -> Any:
        value = values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise InputError(f"{key}: {value!r} is not allowed: a {'whole ' if float not in kinds else ''}number")
        return value

    def size(key: str) -> int:
        found = next((name for name in (key, *ALIASES.get(key, ())) if name in values), key)
        return number(found, (int,), None)

    tied = values.get("tie_word_embeddings", True)
    if not isinstance(tied, bool):
        raise InputError(f"tie_word_embeddings: {tied!r} is not allowed: true or false")
    inner = model_type == "gpt2" and values.get("n_inner") is not None
    return ModelConfig(
        vocab_size=size("vocab_size"),
        context_length=size("n_positions"),
        n_layer=size("n_layer"),
        n_head=size("n_head"),
        d_model=size("n_embd"),
        d_ff=size("n_inner") if inner else None,
        norm="post" if model_type == "openai-gpt" else "pre",
        layer_norm_epsilon=number("layer_norm_epsilon", (int, float), 1e-5),
        tie_embeddings=tied,
        embedding_dropout=number("embd_pdrop", (int, float), 0.1),
        attention_dropout=number("attn_pdrop", (int, float), 0.1),
        residual_dropout=number("resid_pdrop", (int, float), 0.1),
        initialization="gpt1" if model_type == "openai-gpt" else "gpt2",
        initialization_std=number("initializer_range", (int, float), 0.02),
    )


def transformers_config(
    config: ModelConfig, end_of_text: int | None = None, dtype: str | None = None
) -> dict[str, Any]:
    """Transformers' `config.json` for `config`: each value is true of the model, or null where that is unknown.

    `end_of_text` is the id that stands before each document in training, and so both begins and ends a text; `dtype`
    is that of the tensors. Settings that leave the logits unchanged have no place there: scan, remat, the dtype of
    the computation, the kind of embedding dropout, and an initialisation other than N(0, `initializer_range`).

    Raises `InputError` on what the layout cannot express: an LSTM, a sparse pattern, heads of another width.
    """

    def require(holds: bool, key: str, allowed: str) -> None:
        if not holds:
            raise InputError(
                f"model.{key}: {getattr(config, key)!r} cannot be saved in Transformers' layout: {allowed}"
            )

    require(config.architecture == "transformer", "architecture", "only 'transformer' can")
    require(all(isinstance(p, Dense) for p in config.attention), "attention", "only Dense() can")
    square = config.n_head * config.head_width == config.d_model
    require(square, "d_head", f"only d_model / n_head of d_model = {config.d_model}, n_head = {config.n_head} can")
    common = {
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_embd": config.d_model,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "embd_pdrop": config.embedding_dropout,
        "attn_pdrop": config.attention_dropout,
        "resid_pdrop": config.residual_dropout,
        "tie_word_embeddings": config.tie_embeddings,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "pad_token_id": None,
        "dtype": dtype,
    }
    if config.initialization != "xavier":  # whose deviation depends on the matrix
        common["initializer_range"] = config.initialization_std
    if config.norm == "post":
        quadruple = config.mlp_width == 4 * config.d_model
        require(quadruple, "d_ff", f"only 4 d_model = {4 * config.d_model} can with norm 'post'")
        return {"model_type": "openai-gpt", "architectures": ["OpenAIGPTLMHeadModel"], "afn": "gelu", **common}
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": "gelu_new",
        "n_inner": config.d_ff,
        **common,
    }
