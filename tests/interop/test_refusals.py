"""A weights folder that cannot be meant is refused in one line that names what is wrong with it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.interop.weights_folders import (
    assert_one_line,
    change_config,
    change_tensors,
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "gpt_neox"}, ("model_type", "gpt_neox", "openai-gpt, gpt2")),
        ({"activation_function": "relu"}, ("activation_function", "'relu'", "gelu_new")),
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
        ({"transformer.wpe.weight": np.zeros((24, 16), np.int8)}, ("wpe.weight", "I8", "F32, BF16, F16, F64")),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_a_tensor_that_does_not_fit_is_one_line(folder, changes, words):
    change_tensors(folder, changes)
    assert_one_line(folder, words)


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
    (folder / "config.json").write_text("{", encoding="utf-8")
    assert_one_line(folder, ("config.json: not JSON",))
    (folder / "config.json").unlink()
    assert_one_line(folder, ("config.json is missing",))


def test_a_shard_outside_the_folder_is_refused(folder):
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    index = {"weight_map": {"transformer.wte.weight": "../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert_one_line(folder, ("weight_map", "../elsewhere.safetensors", "same folder"))
