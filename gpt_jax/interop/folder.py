"""A weights folder: `config.json` beside `model.safetensors`, whole or in shards."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from gpt_jax.config import ModelConfig
from gpt_jax.errors import InputError
from gpt_jax.interop.layout import (
    HEAD,
    TOKEN_EMBEDDING,
    from_named_tensors,
    model_config,
    to_named_tensors,
    transformers_config,
)

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
DTYPES = ("F32", "BF16", "F16")  # each is exact in float32
BUFFERS = re.compile(r"(transformer\.)?(h\.\d+\.attn\.(bias|masked_bias)|position_ids)")  # constants, not weights


def load_pretrained(folder: str | os.PathLike[str]) -> tuple[ModelConfig, dict[str, Any]]:
    """A model in Transformers' layout, types `openai-gpt` and `gpt2`: its config and its parameters, float32.

    The folder holds `config.json` and `model.safetensors`, or the shards that `model.safetensors.index.json`
    names. An output matrix that is stored and differs from the token embedding gives `tie_embeddings=False`.
    Raises `InputError` on a missing or damaged file, on a setting that this decoder does not compute, and on
    tensors that are missing, left over, or of the wrong shape or type.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"weights folder {str(folder)!r} does not exist: allowed: a folder with {CONFIG} and {WEIGHTS}"
        )
    values = _read_json(folder / CONFIG)
    try:
        config = model_config(values)
    except InputError as error:
        raise InputError(f"{folder / CONFIG}: {error}") from None
    tensors = _read_tensors(folder)
    try:
        return _assemble(config, tensors)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None


def _assemble(config: ModelConfig, tensors: dict[str, np.ndarray]) -> tuple[ModelConfig, dict[str, Any]]:
    embedding = tensors.get(TOKEN_EMBEDDING[config.norm])
    if config.tie_embeddings and HEAD in tensors:
        if embedding is not None and np.array_equal(tensors[HEAD], embedding):
            del tensors[HEAD]
        else:
            config = dataclasses.replace(config, tie_embeddings=False)
    return config, from_named_tensors(config, tensors)


def save_pretrained(config: ModelConfig, params: Mapping[str, Any], folder: str | os.PathLike[str]) -> None:
    """Writes `config.json` and `model.safetensors`, which Transformers loads and computes the same logits from.

    Parameters keep their dtype. Each file appears whole, and `config.json` last. Raises `InputError` when the
    layout cannot express `config` (sparse patterns, heads of another width), when `params` do not fit it, and
    when the folder already holds a model.
    """
    values, tensors = transformers_config(config), to_named_tensors(config, params)
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS, INDEX):
        if (folder / name).exists():
            raise InputError(f"{folder / name} already exists: allowed: a folder without a model, or a new one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{str(folder)!r} is not a folder: allowed: a folder without a model, or a new one") from None
    text = json.dumps(values, indent=2) + "\n"
    _write(folder / WEIGHTS, lambda path: save_file(tensors, path, metadata={"format": "pt"}))
    _write(folder / CONFIG, lambda path: Path(path).write_text(text))


def _write(path: Path, write: Callable[[str], Any]) -> None:
    """Calls `write` with a temporary name beside `path`, then gives the finished file its own name."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(handle)
    try:
        write(temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: allowed: a folder with {CONFIG} and {WEIGHTS}") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds {type(values).__name__}: allowed: a JSON object")
    return values


def _read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """All weights by name, without the "transformer." prefix, as float32; constant buffers are left out."""
    homes: dict[Path, list[str] | None] = {}
    if (folder / WEIGHTS).exists():
        homes[folder / WEIGHTS] = None
    elif (folder / INDEX).exists():
        homes = dict(_shards(folder))
    else:
        pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
        if pickles:
            raise InputError(f"{folder / pickles[0]} is a pickle, which can run code: convert it to {WEIGHTS} first")
        raise InputError(f"{folder / WEIGHTS} is missing: allowed: {WEIGHTS}, or {INDEX} and its shards")
    tensors: dict[str, np.ndarray] = {}
    for path, names in homes.items():
        for stored, array in _read_safetensors(path, names):
            name = stored.removeprefix("transformer.")
            if name in tensors:
                raise InputError(f"{path}: tensor {stored!r} is there twice, with and without 'transformer.'")
            tensors[name] = array
    return tensors


def _shards(folder: Path):
    """(file, names of its tensors) for each shard of the index."""
    path = folder / INDEX
    index = _read_json(path).get("weight_map")
    if not isinstance(index, dict) or not all(isinstance(name, str) for name in index.values()):
        raise InputError(f"{path}: weight_map is not allowed: a JSON object of tensor names and file names")
    for name in sorted(set(index.values())):
        if Path(name).name != name:
            raise InputError(f"{path}: weight_map: {name!r} is not allowed: the name of a file in the same folder")
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing: {INDEX} names it")
        yield folder / name, [tensor for tensor, home in index.items() if home == name]


def _read_safetensors(path: Path, names: list[str] | None):
    """(name, float32 array) for each weight of one file; `names` None means all."""
    try:
        with safe_open(path, framework="numpy") as file:
            stored = list(file.keys())
            for name in stored if names is None else names:
                if name not in stored:
                    raise InputError(f"{path}: tensor {name!r} is missing: {INDEX} puts it there")
                if BUFFERS.fullmatch(name):
                    continue
                dtype = file.get_slice(name).get_dtype()
                if dtype not in DTYPES:
                    raise InputError(f"{path}: tensor {name!r} is {dtype}: allowed: {', '.join(DTYPES)}")
                yield name, file.get_tensor(name).astype(np.float32)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}: allowed: a whole safetensors file") from None
