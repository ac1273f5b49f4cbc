"""A trained model with its tokenizer, from the folder that a run wrote or from weights in Transformers' layout."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt_jax.config import ModelConfig, RunConfig, digest, from_dict
from gpt_jax.data.tokenizers import Tokenizer, find_tokenizer, load_tokenizer, make_tokenizer, require_rows
from gpt_jax.disk import digest_of, read_json
from gpt_jax.errors import InputError, unknown

OPENAI_SIZES = ("params_shapes.json", "hparams.json")  # beside the weights of GPT-1 and of GPT-2 as released


@dataclass(frozen=True)
class LoadedModel:
    """A trained model with its tokenizer. `digest` names config, weights and tokenizer: equal digest, equal answers."""

    config: ModelConfig
    params: Any
    tokenizer: Tokenizer
    digest: str


def load_model(
    folder: Path | str,
    report: Callable[[str], None] = lambda line: None,
    step: int | None = None,
    int8: bool = False,
) -> LoadedModel:
    """The model in a run folder (its newest readable checkpoint, or that of `step`) or in a weights folder.

    A weights folder is one that `load_pretrained` reads, with the tokenizer's files beside the weights or in
    `tokenizer/`; without any, 50,257 entries of type gpt2, padded or not, are read with the built-in vocabulary.
    Checkpoints passed over are named through `report`. `int8` rounds the matrices (gpt_jax/model/int8.py). Raises
    `InputError`.
    """
    folder = Path(folder)
    if is_run_folder(folder):
        run, _ = read_run(folder)
        if run.kind == "finetuning":
            raise InputError(f"{folder} holds a classifier, for `classify`: a language model's folder is allowed")
        config, params = run.model, restore(run, folder, report, step).params
        tokenizer = load_tokenizer(folder / "tokenizer")
    else:
        from gpt_jax.interop import load_pretrained

        if step is not None:
            raise InputError(f"{folder}: a weights folder has no checkpoints: leave out the step {step}")
        config, params = load_pretrained(folder)
        tokenizer = _weights_tokenizer(folder, config)
    require_rows(tokenizer, config.vocab_size, str(folder))
    if int8:
        from gpt_jax.model.int8 import quantized

        config, params = quantized(config, params)
    return LoadedModel(config, params, tokenizer, _digest(config, params, tokenizer))


def is_run_folder(folder: Path) -> bool:
    """Whether `folder` is a run folder, by its `config.json`. Any other folder is a weights folder, or an error.

    Raises `InputError` where there is neither `config.json` nor OpenAI's list of sizes, or the first is damaged.
    """
    path = folder / "config.json"
    if not path.is_file():
        if any((folder / name).is_file() for name in OPENAI_SIZES):
            return False
        raise InputError(
            f"{folder} is neither a run folder nor a weights folder: no config.json there; "
            "runs are in DIR/EXPERIMENT/ARM/seed-N, weights are config.json and model.safetensors, or OpenAI's files "
            f"with {' or '.join(OPENAI_SIZES)}"
        )
    return "identity" in read_json(path, dict)


def read_run(folder: Path) -> tuple[RunConfig, dict[str, Any]]:
    """The config of a run folder, and which run it is. Raises `InputError` if it is none, or is damaged."""
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{folder} is not a run folder: it has no config.json")
    content = read_json(path, dict)
    try:
        identity, stated = dict(content.pop("identity")), content.pop("digest")
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is damaged: it does not read as a run's config") from None
    config = from_dict(content)
    if digest(config) != stated:
        raise InputError(f"{path} is damaged: its digest is {stated}, its values give {digest(config)}")
    return config, identity


def _weights_tokenizer(folder: Path, config: ModelConfig) -> Tokenizer:
    for place in (folder, folder / "tokenizer"):
        if (tokenizer := find_tokenizer(place)) is not None:
            return tokenizer
    if config.norm == "pre":
        from gpt_jax.interop import is_padded

        builtin = make_tokenizer("gpt2", 1 << 20, None)
        if config.vocab_size == builtin.vocab_size or is_padded(config.vocab_size, builtin.vocab_size):
            return builtin
    raise InputError(
        f"{folder}: holds no tokenizer: allowed: vocab.json and merges.txt, tokenizer.json, or a folder `tokenizer` "
        f"with them; only a gpt2 model of 50,257 entries, padded or not, needs none (this one has "
        f"{config.vocab_size:,})"
    )


def _digest(config: ModelConfig, params: Any, tokenizer: Tokenizer) -> str:
    """Sixteen hexadecimal digits over the model's config, every parameter's bytes, and the tokenizer's digest."""
    import jax
    import numpy as np

    summary = hashlib.sha256(f"{digest(config)} {tokenizer.digest}".encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.ascontiguousarray(leaf)
        summary.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        summary.update(array.view(np.uint8).data)
    return summary.hexdigest()[:16]


def files_digest(folder: Path, sha256: Callable[[Path], str]) -> str:
    """A digest of the files that `load_model` reads, by `sha256` of each: a run's newest checkpoint and tokenizer, or
    all of a weights folder but its documents. Nothing is loaded. Raises `InputError` where `folder` holds no model."""
    if is_run_folder(folder):
        newest = folder / "checkpoints" / str(checkpoint_steps(folder)[-1])
        places = [path for path in newest.rglob("*") if not path.name.startswith("_")]  # what Orbax changes later
        places += (folder / "tokenizer").rglob("*")
    else:
        places = [*folder.iterdir(), *(folder / "tokenizer").rglob("*")]
    files = (path for path in sorted(places) if path.is_file() and path.suffix != ".md" and path.name[0] != ".")
    return digest_of([[str(path.relative_to(folder)), sha256(path)] for path in files])


def checkpoint_steps(folder: Path) -> list[int]:
    """The steps of a run folder's checkpoints, ascending. Raises `InputError` where there are none."""
    path = folder / "checkpoints"
    steps = sorted(int(entry.name) for entry in path.iterdir() if entry.name.isdigit()) if path.is_dir() else []
    if not steps:
        raise InputError(f"{path}: holds no checkpoint: `resume` goes on with the run")
    return steps


def restore(config: RunConfig, folder: Path, report: Callable[[str], None], step: int | None = None) -> Any:
    """The newest readable `TrainState` of a run, or that of `step`; nothing in the folder is changed.

    A checkpoint that cannot be read is named through `report` and passed over. Raises `InputError` if none can.
    """
    from gpt_jax.training.checkpoint import Checkpoints
    from gpt_jax.training.state import state_shapes

    path = folder / "checkpoints"
    if not path.is_dir():
        raise InputError(f"{path}: no such folder: the run has no checkpoint yet; `resume` goes on with it")
    if step is not None and step not in checkpoint_steps(folder):
        raise unknown(f"checkpoint of {folder}", str(step), map(str, checkpoint_steps(folder)))
    shapes = state_shapes(config)
    checkpoints = Checkpoints(path)
    try:
        restored = checkpoints.restore(shapes, report, discard=False, steps=None if step is None else [step])
    finally:
        checkpoints.close()
    if restored is None:
        raise InputError(f"{path}: holds no checkpoint: `resume` goes on with the run")
    return restored[0]
