"""Weights as OpenAI released them: laid out by the released loaders' rules, they give PyTorch's logits."""

from __future__ import annotations

import json
import re
from math import prod
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gpt_jax.errors import InputError
from gpt_jax.interop import join_embeddings, load_openai_gpt1, load_openai_gpt2, load_pretrained, save_pretrained
from gpt_jax.loading import load_model
from tests.interop.weights_folders import assert_same, logits
from tests.make_golden import GOLDEN, load

# The order in which train.py creates its variables within a block, and the shape of each at width 768.
GPT1_BLOCK = [
    ("attn.c_attn.weight", [1, 768, 2304]),
    ("attn.c_attn.bias", [2304]),
    ("attn.c_proj.weight", [1, 768, 768]),
    ("attn.c_proj.bias", [768]),
    ("ln_1.weight", [768]),
    ("ln_1.bias", [768]),
    ("mlp.c_fc.weight", [1, 768, 3072]),
    ("mlp.c_fc.bias", [3072]),
    ("mlp.c_proj.weight", [1, 3072, 768]),
    ("mlp.c_proj.bias", [768]),
    ("ln_2.weight", [768]),
    ("ln_2.bias", [768]),
]


def released_gpt1(folder: Path, shards: int = 10) -> list[np.ndarray]:
    """Golden GPT-1 weights as `params_*.npy`: positions, tokens, then the blocks, end to end; returns the tensors."""
    weights = {
        name.removeprefix("transformer."): a for name, a in load(GOLDEN / "openai-gpt.safetensors").weights.items()
    }
    arrays = [weights["positions_embed.weight"], weights["tokens_embed.weight"]]
    for n in range(2):
        for name, shape in GPT1_BLOCK:
            array = weights[f"h.{n}.{name}"]
            arrays.append(array[None] if len(shape) == 3 else array)
    write_shards(folder, arrays, shards)
    return arrays


def write_shards(folder: Path, arrays: list[np.ndarray], shards: int = 10) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "params_shapes.json").write_text(json.dumps([array.shape for array in arrays]), encoding="utf-8")
    flat = np.concatenate([array.ravel() for array in arrays])
    for n, piece in enumerate(np.array_split(flat, shards)):
        np.save(folder / f"params_{n}.npy", piece)


def released_gpt2(folder: Path) -> Path:
    """Golden GPT-2 weights under TensorFlow's names."""
    reference = load(GOLDEN / "gpt2.safetensors")
    folder.mkdir()
    tensors = {}
    for name, array in reference.weights.items():
        parts = re.sub(r"h\.(\d+)\.", r"h\1.", name.removeprefix("transformer.")).split(".")
        if parts[0] in ("wte", "wpe"):
            parts = parts[:1]
        else:
            gain = "g" if "ln_" in name else "w"
            parts[-1] = {"weight": gain, "bias": "b"}[parts[-1]]
        tensors["/".join(["model", *parts])] = array[None] if parts[-1] == "w" else array
    assert {"model/wte", "model/h0/attn/c_attn/w", "model/h1/ln_2/g", "model/ln_f/b"} < tensors.keys()
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / "model.safetensors")
    sizes = {"n_vocab": 61, "n_ctx": 24, "n_embd": 16, "n_head": 4, "n_layer": 2}
    (folder / "hparams.json").write_text(json.dumps(sizes), encoding="utf-8")
    return folder


def test_gpt1_shards_give_pytorchs_logits(tmp_path):
    released_gpt1(tmp_path)
    reference = load(GOLDEN / "openai-gpt.safetensors")
    config, params = load_openai_gpt1(tmp_path, n_head=4)
    assert (config.norm, config.vocab_size, config.context_length, config.n_layer) == ("post", 61, 24, 2)
    np.testing.assert_allclose(logits(config, params, reference.tokens_BT), reference.logits_BTV, rtol=0, atol=1e-5)


def test_the_released_folders_load_with_the_released_vocabularies(tmp_path):
    released_gpt1(tmp_path / "gpt1")
    released_gpt2(tmp_path / "gpt2")
    names = {"gpt1": ("encoder_bpe_40000.json", "vocab_40000.bpe"), "gpt2": ("encoder.json", "vocab.bpe")}
    for kind, (vocabulary, merges) in names.items():
        entries = ("<unk>", "a", "b", "a</w>", "b</w>") if kind == "gpt1" else ("a", "b")
        (tmp_path / kind / vocabulary).write_text(
            json.dumps({entry: n for n, entry in enumerate(entries)}), encoding="utf-8"
        )
        (tmp_path / kind / merges).write_text("#version: 0.2\n", encoding="utf-8")
        model = load_model(tmp_path / kind)
        assert (model.tokenizer.name, model.config.vocab_size) == (kind, 61)
        assert_same(model.params, load_pretrained(tmp_path / kind)[1])


def test_where_the_shards_are_cut_does_not_matter(tmp_path):
    released_gpt1(tmp_path / "ten")
    released_gpt1(tmp_path / "three", shards=3)
    assert_same(load_openai_gpt1(tmp_path / "ten", n_head=4), load_openai_gpt1(tmp_path / "three", n_head=4))


def test_the_released_shapes_are_gpt1(tmp_path):
    """The published params_shapes.json, at a twelfth of the width: 12 blocks, 12 heads of 64 at the full one."""
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=s).astype(np.float32) for s in ([8, 128], [30, 128])]
    for _ in range(12):
        arrays += [np.zeros([n // 6 if n > 1 else n for n in shape], np.float32) for _, shape in GPT1_BLOCK]
    write_shards(tmp_path, arrays)
    config, params = load_pretrained(tmp_path)
    assert (config.n_layer, config.n_head, config.d_model, config.head_width) == (12, 2, 128, 64)
    np.testing.assert_array_equal(params["wpe"], arrays[0])
    np.testing.assert_array_equal(params["wte"], arrays[1])
    assert 512 * 768 + 40478 * 768 + 12 * sum(prod(shape) for _, shape in GPT1_BLOCK) == 116_534_784


def test_a_joint_matrix_is_tokens_specials_positions(tmp_path):
    positions, tokens, *blocks = released_gpt1(tmp_path / "apart")
    specials = np.arange(3 * 16, dtype=np.float32).reshape(3, 16)
    we = np.concatenate([tokens, specials, positions])  # as train.py joins them
    write_shards(tmp_path / "joint", [we, *blocks])
    with pytest.raises(InputError, match=r"encoder_bpe_40000\.json is missing"):
        load_openai_gpt1(tmp_path / "joint", n_head=4)
    (tmp_path / "joint" / "encoder_bpe_40000.json").write_text(
        json.dumps({str(n): n for n in range(61)}), encoding="utf-8"
    )

    config, params = load_openai_gpt1(tmp_path / "joint", n_head=4)
    assert (config.vocab_size, config.context_length) == (64, 24)
    np.testing.assert_array_equal(params["wte"][61:], specials)
    np.testing.assert_array_equal(join_embeddings(params), we)
    apart_config, apart = load_openai_gpt1(tmp_path / "apart", n_head=4)
    tokens_BT = load(GOLDEN / "openai-gpt.safetensors").tokens_BT
    joint_BTV, apart_BTV = logits(config, params, tokens_BT), logits(apart_config, apart, tokens_BT)
    np.testing.assert_allclose(joint_BTV[..., :61], apart_BTV, rtol=0, atol=1e-5)


def test_tensorflows_gpt2_gives_pytorchs_logits(tmp_path):
    reference = load(GOLDEN / "gpt2.safetensors")
    config, params = load_pretrained(released_gpt2(tmp_path / "124M"))
    np.testing.assert_allclose(logits(config, params, reference.tokens_BT), reference.logits_BTV, rtol=0, atol=1e-5)


def test_released_weights_survive_our_own_folder(tmp_path):
    released_gpt1(tmp_path / "gpt1")
    for config, params in (
        load_openai_gpt1(tmp_path / "gpt1", n_head=4),
        load_openai_gpt2(released_gpt2(tmp_path / "b")),
    ):
        save_pretrained(config, params, tmp_path / config.norm)
        again_config, again = load_pretrained(tmp_path / config.norm)
        assert again_config == config
        assert_same(again, params)


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in (str(folder), *words))


def test_damaged_gpt1_shards_are_one_line(tmp_path):
    arrays = released_gpt1(tmp_path)
    (tmp_path / "params_3.npy").rename(tmp_path / "params_10.npy")
    refused(tmp_path, "params_3.npy is missing")
    np.save(tmp_path / "params_3.npy", np.array([{"code": "runs"}], object), allow_pickle=True)
    (tmp_path / "params_10.npy").unlink()
    refused(tmp_path, "params_3.npy is damaged, or a pickle")
    np.save(tmp_path / "params_3.npy", np.zeros((2, 2), np.float32))
    refused(tmp_path, "params_3.npy", "(2, 2)", "vector")
    released_gpt1(tmp_path)
    (tmp_path / "params_9.npy").unlink()
    refused(tmp_path, "9 shards", "params_shapes.json")
    write_shards(tmp_path, arrays[:-1])
    refused(tmp_path, "params_shapes.json", "25 shapes")
    write_shards(tmp_path, [*arrays[:-1], np.zeros(17, np.float32)])
    refused(tmp_path, "h.1.ln_2.bias", "(17,)", "(16,)")
    (tmp_path / "params_shapes.json").write_text('[["all"]]', encoding="utf-8")
    refused(tmp_path, "params_shapes.json", "not a list of shapes")


def test_damaged_tensorflow_files_are_one_line(tmp_path):
    folder = released_gpt2(tmp_path / "124M")
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "model/h0/attn/c_attn/w/Adam": np.zeros(3, np.float32)}, folder / "model.safetensors")
    refused(folder, "model/h0/attn/c_attn/w/Adam", "is not allowed")
    save_file({name: a for name, a in tensors.items() if name != "model/h1/mlp/c_fc/w"}, folder / "model.safetensors")
    refused(folder, "h.1.mlp.c_fc.weight", "missing")
    save_file(tensors, folder / "model.safetensors")
    (folder / "hparams.json").write_text(
        json.dumps({"n_vocab": 61, "n_ctx": 24, "n_embd": 16, "n_head": 4}), encoding="utf-8"
    )
    refused(folder, "hparams.json", "n_layer", "whole number")
