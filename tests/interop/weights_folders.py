"""What the tests of weights folders share: tiny configs, random parameters, folders with golden weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gpt_jax.config import ModelConfig
from gpt_jax.errors import InputError
from gpt_jax.interop import load_pretrained
from gpt_jax.model.decoder import GPT
from tests.make_golden import GOLDEN, load

TINY = ModelConfig(vocab_size=17, context_length=6, n_layer=2, n_head=2, d_model=8, initialization_std=0.5)
CONFIGS = {
    "gpt2": TINY,
    "gpt1": dataclasses.replace(TINY, norm="post", initialization="gpt1"),
    "untied": dataclasses.replace(TINY, tie_embeddings=False),
    "wide": dataclasses.replace(TINY, d_ff=20),
}


def random_params(config: ModelConfig, seed: int = 0) -> dict[str, Any]:
    """Every leaf random, so that no two tensors could be swapped unseen."""
    generator = np.random.default_rng(seed)
    shapes = jax.eval_shape(GPT(config).init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    return jax.tree.map(lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype), shapes)


def assert_same(left: Any, right: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, left, right)


def logits(config: ModelConfig, params: dict[str, Any], tokens: Any) -> np.ndarray:
    return np.asarray(jax.jit(GPT(config).apply)({"params": params}, jnp.asarray(tokens)))


def write_reference(folder: Path, model_type: str, prefix: str = "transformer.") -> Path:
    theirs = load(GOLDEN / f"{model_type}.safetensors")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(theirs.config), encoding="utf-8")
    weights = {name.replace("transformer.", prefix): array for name, array in theirs.weights.items()}
    save_file(weights, folder / "model.safetensors")
    return folder


def change_config(folder: Path, **changes: Any) -> None:
    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**values, **changes}), encoding="utf-8")


def change_tensors(folder: Path, changes: dict[str, Any]) -> None:
    """Adds or replaces tensors; None removes one."""
    tensors = {**load_file(folder / "model.safetensors"), **changes}
    save_file({name: array for name, array in tensors.items() if array is not None}, folder / "model.safetensors")


def assert_one_line(folder: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)
    for word in (str(folder), *words):
        assert word in str(caught.value)
