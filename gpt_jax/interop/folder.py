"""A weights folder: `config.json` beside `model.safetensors` (whole or in shards), or OpenAI's own files."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gpt_jax.config import ModelConfig
from gpt_jax.data.tokenizers import Tokenizer, require_rows
from gpt_jax.disk import read_json, write_atomically
from gpt_jax.errors import InputError
from gpt_jax.interop.layout import (
    HEAD,
    TOKEN_EMBEDDING,
    from_named_tensors,
    model_config,
    to_named_tensors,
    transformers_config,
)
from gpt_jax.interop.openai import HPARAMS, SHAPES, load_openai_gpt1, load_openai_gpt2
from gpt_jax.interop.tensors import CONFIG, INDEX, WEIGHTS, plain_array, read_tensors, write_tensors
from gpt_jax.interop.tokenizer_files import FILES, write_tokenizer


def load_pretrained(
    folder: str | os.PathLike[str], *, vocab_size: int | None = None
) -> tuple[ModelConfig, dict[str, Any]]:
    """A model from a weights folder: its config and its parameters, float32.

    | beside the weights | it is |
    |---|---|
    | `config.json` | Transformers' layout, types `openai-gpt` and `gpt2` |
    | `params_shapes.json` | GPT-1 as released, `params_0.npy`, `params_1.npy`, ... (openai.py) |
    | `hparams.json` | GPT-2 as released, with TensorFlow's names in safetensors (openai.py) |

    Safetensors files are `model.safetensors`, or the shards that `model.safetensors.index.json` names.

    An output matrix that is stored and differs from the token embedding gives `tie_embeddings=False`. Files of
    bfloat16 and float16 are widened exactly, float64 is rounded. A vocabulary padded to a multiple of 8, by less than
    128 rows, is loaded as its tensor stands even where `config.json` has the smaller number (Transformers refuses
    that); `vocab_size`, such as the tokenizer's, keeps only the first rows of the embedding and the output matrix.

    Raises `InputError` on a missing or damaged file or a pickle, on a setting that this decoder does not compute, and
    on tensors that are missing, left over, or of the wrong shape or type.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"weights folder {str(folder)!r} does not exist: allowed: a folder with {CONFIG} and {WEIGHTS}"
        )
    if not (folder / CONFIG).exists() and (folder / SHAPES).exists():
        config, params = load_openai_gpt1(folder)
    elif not (folder / CONFIG).exists() and (folder / HPARAMS).exists():
        config, params = load_openai_gpt2(folder)
    else:
        config, params = _load_transformers(folder)
    return (config, params) if vocab_size is None else cut_vocabulary(config, params, vocab_size)


def cut_vocabulary(
    config: ModelConfig, params: Mapping[str, Any], vocab_size: int
) -> tuple[ModelConfig, dict[str, Any]]:
    """The same model with the first `vocab_size` entries only: what is cut can be neither read nor predicted.

    The remaining logits stay as they are; probabilities grow by what the cut entries had. Raises `InputError`.
    """
    if not 1 <= vocab_size <= config.vocab_size:
        raise InputError(f"vocab_size: {vocab_size} is not allowed: 1 to {config.vocab_size}, the rows there are")
    matrices = {name: params[name][:vocab_size] for name in ("wte", "lm_head") if name in params}
    return dataclasses.replace(config, vocab_size=vocab_size), {**params, **matrices}


def _load_transformers(folder: Path) -> tuple[ModelConfig, dict[str, Any]]:
    values = read_json(folder / CONFIG, dict)
    try:
        config = model_config(values)
    except InputError as error:
        raise InputError(f"{folder / CONFIG}: {error}") from None
    tensors: dict[str, np.ndarray] = {}
    for stored, array in read_tensors(folder):
        name = stored.removeprefix("transformer.")
        if name in tensors:
            raise InputError(f"{folder}: tensor {stored!r} is there twice, with and without 'transformer.'")
        tensors[name] = array
    try:
        return _assemble(config, tensors)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None


def _assemble(config: ModelConfig, tensors: dict[str, np.ndarray]) -> tuple[ModelConfig, dict[str, Any]]:
    embedding = tensors.get(TOKEN_EMBEDDING[config.norm])
    if embedding is not None and is_padded(len(embedding), config.vocab_size):
        config = dataclasses.replace(config, vocab_size=len(embedding))
    if config.tie_embeddings and HEAD in tensors:
        if embedding is not None and np.array_equal(tensors[HEAD], embedding):
            del tensors[HEAD]
        else:
            config = dataclasses.replace(config, tie_embeddings=False)
    return config, from_named_tensors(config, tensors)


def is_padded(rows: int, entries: int) -> bool:
    """Whether `rows` are a vocabulary of `entries` padded as speed asks for: a multiple of 8, less than 128 more."""
    return rows % 8 == 0 and 0 < rows - entries < 128


def save_pretrained(
    config: ModelConfig,
    params: Mapping[str, Any],
    folder: str | os.PathLike[str],
    tokenizer: Tokenizer | None = None,
) -> None:
    """Writes `config.json` and `model.safetensors`, which Transformers loads and computes the same logits from.

    Parameters keep their dtype: float32, bfloat16, float16 and float64 are written bit for bit, from any memory order
    (`load_pretrained` and Transformers' float32 models round float64). With a `tokenizer`, its files are written too
    (tokenizer_files.py), and `config.json` names its end of text; without one the id is null, since a vocabulary of
    50,257 entries need not be GPT-2's.

    Each file appears whole, and `config.json` last. Raises `InputError` when the layout cannot express `config` (an
    LSTM, sparse patterns, heads of another width), when `params` or `tokenizer` do not fit it, and when the folder
    already holds a model.
    """
    transformers_config(config)  # what cannot be expressed is said first
    tensors = {name: plain_array(name, array) for name, array in to_named_tensors(config, params).items()}
    dtypes = {array.dtype.name for array in tensors.values()}
    if tokenizer is not None:
        require_rows(tokenizer, config.vocab_size, "tokenizer")
    end_of_text = None if tokenizer is None else tokenizer.end_of_text
    if end_of_text is not None and end_of_text >= config.vocab_size:
        raise InputError(f"tokenizer: its end of text is {end_of_text}: at most {config.vocab_size - 1} is allowed")
    values = transformers_config(config, end_of_text, dtypes.pop() if len(dtypes) == 1 else None)
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS, INDEX, *(() if tokenizer is None else FILES)):
        if (folder / name).exists():
            raise InputError(f"{folder / name} already exists: allowed: a folder without a model, or a new one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{str(folder)!r} is not a folder: allowed: a folder without a model, or a new one") from None
    write_tensors(folder / WEIGHTS, tensors, {"format": "pt"})
    if tokenizer is not None:
        write_tokenizer(tokenizer, folder, config.context_length)
    write_atomically(folder / CONFIG, json.dumps(values, indent=2) + "\n")
