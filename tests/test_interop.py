"""Weights folders: what Transformers writes is read, what we write Transformers reads, and nothing is lost silently."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from make_golden import GOLDEN, MODEL_TYPES, build, load
from safetensors.numpy import load_file, save_file

from gpt_jax.config import ModelConfig
from gpt_jax.errors import InputError
from gpt_jax.interop import load_pretrained, save_pretrained
from gpt_jax.model.decoder import GPT
from gpt_jax.model.layers_layout import stack_layers
from gpt_jax.model.patterns import Banded, Dense

live = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "transformers")),
    reason="torch and transformers are not installed (extra: parity)",
)
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


@pytest.fixture
def folder(tmp_path) -> Path:
    """A weights folder in Transformers' layout with golden GPT-2 weights."""
    return write_reference(tmp_path / "gpt2", "gpt2")


def write_reference(folder: Path, model_type: str, prefix: str = "transformer.") -> Path:
    theirs = load(GOLDEN / f"{model_type}.safetensors")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(theirs.config))
    weights = {name.replace("transformer.", prefix): array for name, array in theirs.weights.items()}
    save_file(weights, folder / "model.safetensors")
    return folder


def change_config(folder: Path, **changes: Any) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **changes}))


def change_tensors(folder: Path, changes: dict[str, Any]) -> None:
    """Adds or replaces tensors; None removes one."""
    tensors = {**load_file(folder / "model.safetensors"), **changes}
    save_file({name: array for name, array in tensors.items() if array is not None}, folder / "model.safetensors")


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_round_trip_is_bitwise(config, tmp_path):
    params = random_params(config)
    save_pretrained(config, params, tmp_path / "new" / "folder")
    loaded_config, loaded = load_pretrained(tmp_path / "new" / "folder")
    assert loaded_config == config
    assert_same(loaded, params)


def test_scanned_parameters_are_saved_layer_by_layer(tmp_path):
    params = random_params(TINY)
    scanned = dataclasses.replace(TINY, scan_layers=True)
    save_pretrained(scanned, stack_layers(scanned, params), tmp_path)
    assert_same(load_pretrained(tmp_path)[1], params)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize("prefix", ["transformer.", ""])
def test_names_are_read_with_and_without_their_prefix(tmp_path, model_type, prefix):
    theirs = load(GOLDEN / f"{model_type}.safetensors")
    config, params = load_pretrained(write_reference(tmp_path / "model", model_type, prefix))
    np.testing.assert_allclose(logits(config, params, theirs.tokens_BT), theirs.logits_BTV, rtol=0, atol=1e-5)


def test_shards_equal_one_file(folder):
    whole = load_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    shards = {"model-1-of-2.safetensors": names[:9], "model-2-of-2.safetensors": names[9:]}
    for shard, held in shards.items():
        save_file({name: tensors[name] for name in held}, folder / shard)
    weight_map = {name: shard for shard, held in shards.items() for name in held}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "model.safetensors").unlink()
    config, params = load_pretrained(folder)
    assert config == whole[0]
    assert_same(params, whole[1])

    (folder / "model-2-of-2.safetensors").unlink()
    with pytest.raises(InputError, match=r"model-2-of-2\.safetensors is missing"):
        load_pretrained(folder)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_half_precision_is_widened_exactly(folder, dtype):
    halved = {name: array.astype(dtype) for name, array in load_file(folder / "model.safetensors").items()}
    save_file(halved, folder / "model.safetensors")
    _, params = load_pretrained(folder)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    np.testing.assert_array_equal(params["wte"], halved["transformer.wte.weight"].astype(np.float32))


def test_bfloat16_parameters_are_saved_as_they_are(tmp_path):
    config = dataclasses.replace(TINY, param_dtype="bfloat16")
    params = random_params(config)
    save_pretrained(config, params, tmp_path)
    assert all(array.dtype == ml_dtypes.bfloat16 for array in load_file(tmp_path / "model.safetensors").values())
    assert_same(load_pretrained(tmp_path)[1], params)


def test_a_head_that_differs_is_kept(folder):
    head = np.arange(61 * 16, dtype=np.float32).reshape(61, 16)
    change_tensors(folder, {"lm_head.weight": head})
    config, params = load_pretrained(folder)
    assert not config.tie_embeddings
    np.testing.assert_array_equal(params["lm_head"], head)


def test_a_head_equal_to_the_embedding_stays_tied(folder):
    change_tensors(folder, {"lm_head.weight": load_file(folder / "model.safetensors")["transformer.wte.weight"]})
    config, params = load_pretrained(folder)
    assert config.tie_embeddings and "lm_head" not in params


def test_mask_buffers_are_no_weights(folder):
    whole = load_pretrained(folder)[1]
    mask = np.tril(np.ones((1, 1, 24, 24), np.bool_))
    buffers = {f"transformer.h.{n}.attn.{name}": mask for n in range(2) for name in ("bias", "masked_bias")}
    change_tensors(folder, buffers)
    assert_same(load_pretrained(folder)[1], whole)


def test_inner_width_is_read(tmp_path):
    save_pretrained(CONFIGS["wide"], random_params(CONFIGS["wide"]), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["n_inner"] == 20
    assert load_pretrained(tmp_path)[0].d_ff == 20


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "gpt_neox"}, ("model_type", "gpt_neox", "openai-gpt, gpt2")),
        ({"activation_function": "gelu"}, ("activation_function", "'gelu'", "gelu_new")),
        ({"scale_attn_weights": False}, ("scale_attn_weights", "False", "True")),
        ({"scale_attn_by_inverse_layer_idx": True}, ("scale_attn_by_inverse_layer_idx", "True", "False")),
        ({"reorder_and_upcast_attn": True}, ("reorder_and_upcast_attn", "True", "False")),
        ({"add_cross_attention": True}, ("add_cross_attention", "True", "False")),
        ({"quantization_config": {"bits": 4}}, ("quantization_config", "bits", "None")),
        ({"n_layer": "two"}, ("n_layer", "'two'", "whole number")),
        ({"n_embd": None}, ("n_embd", "None", "whole number")),
        ({"n_head": 3}, ("n_head", "3", "d_model = 16")),
        ({"layer_norm_epsilon": "small"}, ("layer_norm_epsilon", "'small'", "number")),
        ({"tie_word_embeddings": "yes"}, ("tie_word_embeddings", "'yes'", "true or false")),
        ({"vocab_size": 62}, ("wte.weight", "(61, 16)", "(62, 16)")),
        ({"n_inner": 32}, ("mlp.c_fc", "64", "32")),
        ({"n_layer": 3}, ("h.2.", "missing", "3-layer")),
        ({"n_layer": 1}, ("h.1.", "left over", "1-layer")),
        ({"tie_word_embeddings": False}, ("lm_head.weight", "missing")),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_meant_is_one_line(folder, changes, words):
    change_config(folder, **changes)
    assert_one_line(folder, words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transformer.h.1.ln_2.bias": None}, ("h.1.ln_2.bias", "missing")),
        ({"score.weight": np.zeros((2, 16), np.float32)}, ("score.weight", "left over")),
        ({"lm_head.weight": np.zeros((60, 16), np.float32)}, ("lm_head.weight", "(60, 16)", "(61, 16)")),
        ({"transformer.wpe.weight": np.zeros((24, 8), np.float32)}, ("wpe.weight", "(24, 8)", "(24, 16)")),
        ({"wpe.weight": np.zeros((24, 16), np.float32)}, ("wpe.weight", "twice")),
        ({"transformer.wpe.weight": np.zeros((24, 16), np.int8)}, ("wpe.weight", "I8", "F32, BF16, F16")),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_a_tensor_that_does_not_fit_is_one_line(folder, changes, words):
    change_tensors(folder, changes)
    assert_one_line(folder, words)


def assert_one_line(folder: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)
    for word in (str(folder), *words):
        assert word in str(caught.value)


def test_pickles_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert_one_line(folder, ("pytorch_model.bin", "pickle", "convert"))


def test_missing_and_damaged_files_are_one_line(folder, tmp_path):
    assert_one_line(tmp_path / "nowhere", ("does not exist",))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    assert_one_line(folder, ("model.safetensors is damaged",))
    weights.unlink()
    assert_one_line(folder, ("model.safetensors is missing",))
    (folder / "config.json").write_text("{")
    assert_one_line(folder, ("config.json is not JSON",))
    (folder / "config.json").unlink()
    assert_one_line(folder, ("config.json is missing",))


def test_a_shard_outside_the_folder_is_refused(folder):
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    index = {"weight_map": {"transformer.wte.weight": "../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert_one_line(folder, ("weight_map", "../elsewhere.safetensors", "same folder"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attention": (Dense(), Banded(4))}, ("model.attention", "Banded(window=4)", "Dense()")),
        ({"d_head": 8}, ("model.d_head", "8", "d_model = 8")),
        ({"norm": "post", "d_ff": 20}, ("model.d_ff", "20", "32")),
    ],
    ids=["attention", "d_head", "d_ff"],
)
def test_what_the_layout_cannot_express_is_not_written(tmp_path, changes, words):
    config = dataclasses.replace(TINY, **changes)
    with pytest.raises(InputError) as caught:
        save_pretrained(config, random_params(config), tmp_path / "new")
    assert all(word in str(caught.value) for word in words)
    assert not (tmp_path / "new").exists()


def test_params_of_another_config_are_not_written(tmp_path):
    params = random_params(TINY)
    for config, word in ((CONFIGS["wide"], "mlp/up/kernel"), (CONFIGS["untied"], "lm_head"), (CONFIGS["gpt1"], "ln_f")):
        with pytest.raises(InputError, match=word):
            save_pretrained(config, params, tmp_path / "new")


def test_a_model_already_there_is_not_overwritten(folder):
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="already exists"):
        save_pretrained(TINY, random_params(TINY), folder)
    assert (folder / "model.safetensors").read_bytes() == before


def test_an_interrupted_write_leaves_no_model(tmp_path, monkeypatch):
    def fail(*arguments, **keywords):
        raise OSError("no space left on device")

    monkeypatch.setattr("gpt_jax.interop.folder.save_file", fail)
    with pytest.raises(OSError, match="no space"):
        save_pretrained(TINY, random_params(TINY), tmp_path)
    assert list(tmp_path.iterdir()) == []


@live
@pytest.mark.parametrize("name", CONFIGS)
def test_transformers_computes_the_same_logits_from_what_we_wrote(tmp_path, name):
    import torch
    from transformers import AutoModelForCausalLM

    config, params = CONFIGS[name], random_params(CONFIGS[name])
    save_pretrained(config, params, tmp_path)
    model, info = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)  # type: ignore
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokens_BT = np.random.default_rng(0).integers(0, 17, (3, 6))
    with torch.no_grad():
        theirs_BTV = model.eval()(torch.from_numpy(tokens_BT)).logits.numpy()
    np.testing.assert_allclose(logits(config, params, tokens_BT), theirs_BTV, rtol=1e-5, atol=1e-4)


@live
@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize("shard_size", ["10MB", "10KB"], ids=["whole", "sharded"])
def test_what_transformers_writes_is_read(tmp_path, model_type, shard_size):
    import torch

    model = build(model_type, seed=3).eval()
    model.save_pretrained(tmp_path, max_shard_size=shard_size)
    assert (tmp_path / "model.safetensors").exists() == (shard_size == "10MB")
    config, params = load_pretrained(tmp_path)
    tokens_BT = np.random.default_rng(0).integers(0, 61, (3, 24))
    with torch.no_grad():
        theirs_BTV = model(torch.from_numpy(tokens_BT)).logits.numpy()
    np.testing.assert_allclose(logits(config, params, tokens_BT), theirs_BTV, rtol=0, atol=1e-5)
