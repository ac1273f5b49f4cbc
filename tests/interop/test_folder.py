"""Weights folders: nothing is lost on the way out and back, and what such folders may hold is read."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gpt_jax.attention.patterns import Banded, Dense
from gpt_jax.errors import InputError
from gpt_jax.interop import load_pretrained, save_pretrained
from gpt_jax.model.layers_layout import stack_layers
from tests.interop.weights_folders import (
    CONFIGS,
    TINY,
    assert_one_line,
    assert_same,
    change_config,
    change_tensors,
    logits,
    random_params,
    write_reference,
)
from tests.make_golden import GOLDEN, MODEL_TYPES, load


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
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
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
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["n_inner"] == 20
    assert load_pretrained(tmp_path)[0].d_ff == 20


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

    monkeypatch.setattr("gpt_jax.interop.tensors.save_file", fail)
    with pytest.raises(OSError, match="no space"):
        save_pretrained(TINY, random_params(TINY), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_float64_is_rounded_to_float32(folder):
    wide = {name: array.astype(np.float64) + 1e-12 for name, array in load_file(folder / "model.safetensors").items()}
    save_file(wide, folder / "model.safetensors")
    _, params = load_pretrained(folder)
    np.testing.assert_array_equal(params["wte"], wide["transformer.wte.weight"].astype(np.float32))


def test_other_names_of_the_sizes_are_read(folder):
    expected = load_pretrained(folder)[0]
    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names = {"n_embd": "hidden_size", "n_head": "num_attention_heads", "n_layer": "num_hidden_layers"}
    names["n_positions"] = "n_ctx"
    (folder / "config.json").write_text(
        json.dumps({names.get(key, key): value for key, value in values.items()}), encoding="utf-8"
    )
    assert load_pretrained(folder)[0] == expected


def test_rows_that_pad_the_vocabulary_are_loaded_as_they_stand(folder):
    """61 entries padded to 64 rows, whether config.json counts the padding or not; `vocab_size` cuts it off."""
    narrow = np.asarray(load_pretrained(folder)[1]["wte"])
    padded = np.concatenate([narrow, np.ones((3, 16), np.float32)])
    change_tensors(folder, {"transformer.wte.weight": padded})
    for stated in (61, 64):
        change_config(folder, vocab_size=stated)
        config, params = load_pretrained(folder)
        assert config.vocab_size == 64
        np.testing.assert_array_equal(params["wte"], padded)
        config, params = load_pretrained(folder, vocab_size=61)
        assert config.vocab_size == 61
        np.testing.assert_array_equal(params["wte"], narrow)
    for impossible in (0, 65):
        with pytest.raises(InputError, match=f"vocab_size: {impossible} is not allowed: 1 to 64"):
            load_pretrained(folder, vocab_size=impossible)


def test_rows_that_are_no_padding_are_an_error(folder):
    for rows in (63, 61 + 128 + 3):
        change_tensors(folder, {"transformer.wte.weight": np.zeros((rows, 16), np.float32)})
        assert_one_line(folder, ("wte.weight", f"({rows}, 16)", "(61, 16)"))
