"""The weights as OpenAI released them: GPT-1's numpy shards, and GPT-2's TensorFlow variables in a safetensors file.

Both keep kernels as (1, inputs, outputs), q, k and v side by side, each with its heads in order.

GPT-1 (openai/finetune-transformer-lm, train.py): `params_0.npy` .. `params_9.npy` are the pieces of one long float32
vector. `params_shapes.json` says where the vector is cut. Its first tensor holds the positions, the second the tokens;
the released loader joins them into one matrix `we` of n_vocab + n_special + n_ctx rows: tokens, special tokens,
positions. Folders with `we` as their first and only embedding are read too.

GPT-2 (openai/gpt-2, model.py): `hparams.json` beside `model.safetensors` with the names of the TensorFlow variables,
`model/wte`, `model/h0/attn/c_attn/w`, ... . Where TensorFlow is installed, five lines write that file from a
downloaded checkpoint; `hparams.json`, `encoder.json` and `vocab.bpe` are copied beside it:

    import tensorflow as tf
    from safetensors.numpy import save_file
    reader = tf.train.load_checkpoint("models/124M")
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("model/")]
    save_file({name: reader.get_tensor(name) for name in names}, "gpt2-124m/model.safetensors")
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from gpt_jax.config import ModelConfig
from gpt_jax.disk import read_json
from gpt_jax.errors import InputError
from gpt_jax.interop.layout import POSITION_EMBEDDING, TOKEN_EMBEDDING, from_named_tensors
from gpt_jax.interop.tensors import read_tensors

SHAPES, ENCODER, HPARAMS = "params_shapes.json", "encoder_bpe_40000.json", "hparams.json"
HEAD_WIDTH = 64  # of every released GPT-1 and GPT-2
BLOCK = [  # GPT-1's order of creation within a block
    f"{module}.{kind}"
    for module in ("attn.c_attn", "attn.c_proj", "ln_1", "mlp.c_fc", "mlp.c_proj", "ln_2")
    for kind in ("weight", "bias")
]
VARIABLE = re.compile(r"model/(?:h(\d+)/)?([a-z0-9_/]+?)(?:/([wbg]))?")
KINDS = {"w": "weight", "g": "weight", "b": "bias", None: "weight"}


def load_openai_gpt1(
    folder: str | Path, *, n_head: int | None = None, n_special: int = 3
) -> tuple[ModelConfig, dict[str, Any]]:
    """GPT-1 from numpy shards: its config and its parameters, float32.

    Args:
      folder: holds `params_shapes.json` and `params_0.npy`, `params_1.npy`, ...
      n_head: the number of heads, which the files do not say. None means heads of width 64, as released.
      n_special: the number of rows that a joint matrix has between its tokens (those of `encoder_bpe_40000.json`) and
        its positions. These rows stay, and `vocab_size` counts them. The released files keep the two embeddings apart
        and have no such rows.

    Raises `InputError` on a missing, damaged or pickled file, and on shapes that are not a GPT-1's.
    """
    folder = Path(folder)
    shapes = _shapes(folder / SHAPES)
    arrays = _cut(folder, shapes)
    if len(arrays) % len(BLOCK) == 1 and len(arrays) > 1 and arrays[1].ndim == 3:  # the first block's c_attn
        tokens, positions = split_embedding(arrays[0], _entries(folder) + n_special)
        arrays = [positions, tokens, *arrays[1:]]
    if len(arrays) % len(BLOCK) != 2 or len(arrays) < 2 + len(BLOCK) or any(a.ndim != 2 for a in arrays[:2]):
        raise InputError(
            f"{folder / SHAPES}: {len(shapes)} shapes are not allowed: positions and tokens, or one joint matrix, "
            f"then {len(BLOCK)} for each block"
        )
    (context, width), vocabulary = arrays[0].shape, arrays[1].shape[0]
    config = ModelConfig(
        vocab_size=vocabulary,
        context_length=context,
        n_layer=len(arrays) // len(BLOCK),
        n_head=n_head or max(1, width // HEAD_WIDTH),
        d_model=width,
        norm="post",
        initialization="gpt1",
    )
    names = [POSITION_EMBEDDING["post"], TOKEN_EMBEDDING["post"]]
    names += [f"h.{n}.{name}" for n in range(config.n_layer) for name in BLOCK]
    return config, _assemble(folder, config, dict(zip(names, arrays, strict=True)))


def load_openai_gpt2(folder: str | Path) -> tuple[ModelConfig, dict[str, Any]]:
    """GPT-2 from `hparams.json` and a safetensors file of TensorFlow's variables: config and parameters, float32.

    Raises `InputError` on a missing or damaged file, and on variables that are missing, left over or misshapen.
    """
    folder = Path(folder)
    values = read_json(folder / HPARAMS, dict)
    sizes = {}
    for ours, theirs in (
        ("vocab_size", "n_vocab"),
        ("context_length", "n_ctx"),
        ("d_model", "n_embd"),
        ("n_head", "n_head"),
        ("n_layer", "n_layer"),
    ):
        sizes[ours] = values.get(theirs)
        if type(sizes[ours]) is not int:
            raise InputError(f"{folder / HPARAMS}: {theirs}: {sizes[ours]!r} is not allowed: a whole number")
    tensors = {}
    for variable, array in read_tensors(folder):
        tensors[_name(variable, folder)] = array
    config = ModelConfig(**sizes)
    return config, _assemble(folder, config, tensors)


def join_embeddings(params: Mapping[str, Any]) -> np.ndarray:
    """The released `we`, (V + C, M): tokens and special tokens, then positions. Position i's row is V + i.

    The released GPT-1 takes its softmax over all rows of `we`, ours over the V of tokens; h @ we.T gives theirs.
    """
    return np.concatenate([np.asarray(params["wte"]), np.asarray(params["wpe"])])


def split_embedding(we: np.ndarray, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The inverse: (`vocab_size`, M) tokens with special tokens, and the positions. Raises `InputError` if none."""
    if we.ndim != 2 or not 0 < vocab_size < len(we):
        raise InputError(f"joint embedding of shape {we.shape}: allowed: more than {vocab_size} rows, tokens first")
    return we[:vocab_size], we[vocab_size:]


def _assemble(folder: Path, config: ModelConfig, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    flat = {name: a[0] if a.ndim == 3 and len(a) == 1 else a for name, a in tensors.items()}
    try:
        return from_named_tensors(config, flat)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None


def _name(variable: str, folder: Path) -> str:
    """Transformers' name of a TensorFlow variable."""
    found = VARIABLE.fullmatch(variable)
    if found is None:
        raise InputError(f"{folder}: variable {variable!r} is not allowed: model/wte, model/h0/attn/c_attn/w, ...")
    block, module, kind = found.groups()
    return f"{f'h.{block}.' if block else ''}{module.replace('/', '.')}.{KINDS[kind]}"


def _shapes(path: Path) -> list[tuple[int, ...]]:
    values = read_json(path, list)
    if not all(isinstance(s, list) and s and all(type(n) is int and n > 0 for n in s) for s in values):
        raise InputError(f"{path}: is not a list of shapes: allowed: [[512, 768], [40478, 768], ...]")
    return [tuple(shape) for shape in values]


def _cut(folder: Path, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """The tensors of `shapes`, cut from the shards laid end to end."""
    count = len(list(folder.glob("params_*.npy")))
    parts = [_read_shard(folder / f"params_{n}.npy") for n in range(max(count, 1))]
    flat, wanted = np.concatenate(parts), sum(map(prod, shapes))
    if len(flat) != wanted:
        raise InputError(f"{folder}: its {count} shards hold {len(flat):,} numbers: {SHAPES} asks for {wanted:,}")
    pieces = np.split(flat, np.cumsum([prod(shape) for shape in shapes])[:-1])
    return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _read_shard(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: allowed: params_0.npy, params_1.npy, ... without a gap") from None
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path} is damaged, or a pickle: {error}") from None
    if array.ndim != 1 or array.dtype.kind != "f":
        raise InputError(f"{path} holds {array.dtype} of shape {array.shape}: allowed: a vector of floats")
    return array.astype(np.float32)


def _entries(folder: Path) -> int:
    """Tokens of the vocabulary, without special ones: what a joint matrix does not say by itself."""
    if not (folder / ENCODER).is_file():
        raise InputError(f"{folder / ENCODER} is missing: a joint matrix needs it, to tell tokens from positions")
    return len(read_json(folder / ENCODER, dict))
