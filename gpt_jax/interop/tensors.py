"""Writes tensors by name to a safetensors file, and reads them from one file or from the shards of an index."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from gpt_jax.disk import read_json
from gpt_jax.errors import InputError

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
DTYPES = ("F32", "BF16", "F16", "F64")  # all but the last are exact in float32; that one is rounded
WRITTEN = (np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16), np.dtype(np.float64))
BUFFERS = re.compile(r"(transformer\.)?(h\.\d+\.attn\.(bias|masked_bias)|position_ids)")  # constants, not weights


def read_tensors(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """(name, float32 array) of every weight in `folder`; constant buffers are left out. Raises `InputError`."""
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
    for path, names in homes.items():
        yield from _read_safetensors(path, names)


def _shards(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """(file, names of its tensors) for each shard of the index."""
    path = folder / INDEX
    index = read_json(path, dict).get("weight_map")
    if not isinstance(index, dict) or not all(isinstance(name, str) for name in index.values()):
        raise InputError(f"{path}: weight_map is not allowed: a JSON object of tensor names and file names")
    for name in sorted(set(index.values())):
        if Path(name).name != name:
            raise InputError(f"{path}: weight_map: {name!r} is not allowed: the name of a file in the same folder")
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing: {INDEX} names it")
        yield folder / name, [tensor for tensor, home in index.items() if home == name]


def _read_safetensors(path: Path, names: list[str] | None) -> Iterator[tuple[str, np.ndarray]]:
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


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Writes arrays of any memory order, NumPy's or JAX's, to a safetensors file, each in its own dtype, bit for bit.

    The file appears whole or not at all. Raises `InputError` on an array that is not float32, bfloat16, float16 or
    float64 (any other dtype would come back as another one, or not at all).
    """
    plain = {name: plain_array(name, value) for name, value in tensors.items()}
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(handle)
    try:
        save_file(plain, temporary, metadata=dict(metadata))
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def plain_array(name: str, value: Any) -> np.ndarray:
    """`value` as safetensors needs it, which saves an array's buffer as it lies in memory: little-endian, row by row.

    Raises `InputError` on a dtype that is not a weight's.
    """
    array = np.asarray(value)
    native = array.dtype.newbyteorder("=")
    if native not in WRITTEN:
        allowed = ", ".join(dtype.name for dtype in WRITTEN)
        raise InputError(f"params: {name} is {array.dtype}: allowed: {allowed}")
    return np.require(array.astype(native, copy=False), requirements="C")
