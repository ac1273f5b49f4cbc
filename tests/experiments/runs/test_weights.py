"""A model comes back whole from a run folder and from a weights folder, with a tokenizer that fits."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cli import main
from experiments.runs import weights
from experiments.runs.weights import load_model, write_text
from gpt_jax import GPT, InputError, ModelConfig, save_pretrained
from gpt_jax.data.tokenizers import BytesTokenizer, make_tokenizer

TINY = ModelConfig(vocab_size=257, context_length=32, n_layer=1, n_head=2, d_model=8)


def params_of(config, seed=0):
    return jax.jit(GPT(config).init)(jax.random.key(seed), jnp.zeros((1, 4), jnp.int32))["params"]


@pytest.fixture
def weights_folder(tmp_path):
    save_pretrained(TINY, params_of(TINY), tmp_path / "weights")
    BytesTokenizer().save(tmp_path / "weights" / "tokenizer")
    return tmp_path / "weights"


def test_a_weights_folder_gives_config_parameters_and_tokenizer(weights_folder):
    model = load_model(weights_folder)
    assert (model.config.n_layer, model.config.d_model, model.tokenizer.name) == (1, 8, "bytes")
    jax.tree.map(np.testing.assert_array_equal, model.params, params_of(TINY))


def test_the_digest_names_the_weights_and_the_tokenizer_not_the_place(weights_folder, tmp_path):
    first = load_model(str(weights_folder)).digest
    shutil.copytree(weights_folder, tmp_path / "copy")
    assert load_model(tmp_path / "copy").digest == first
    (tmp_path / "copy" / "model.safetensors").unlink()
    (tmp_path / "copy" / "config.json").unlink()
    save_pretrained(TINY, params_of(TINY, seed=1), tmp_path / "copy")
    assert load_model(tmp_path / "copy").digest != first


def test_a_gpt2_folder_without_vocabulary_gets_the_built_in_one_where_the_sizes_agree(tmp_path):
    config = ModelConfig(vocab_size=50257, context_length=8, n_layer=1, n_head=1, d_model=2)
    save_pretrained(config, params_of(config), tmp_path)
    model = load_model(tmp_path)
    assert model.tokenizer.digest == make_tokenizer("gpt2", 50257, None).digest


def test_the_built_in_vocabulary_serves_a_padded_model_too(tmp_path):
    config = ModelConfig(vocab_size=50304, context_length=8, n_layer=1, n_head=1, d_model=2)
    save_pretrained(config, params_of(config), tmp_path)
    assert load_model(tmp_path).tokenizer.vocab_size == 50257


def test_a_folder_without_a_tokenizer_that_fits_is_refused(weights_folder):
    shutil.rmtree(weights_folder / "tokenizer")
    with pytest.raises(InputError, match=r"holds no tokenizer: .*this one has 257"):
        load_model(weights_folder)
    make_tokenizer("gpt2", 50257, None).save(weights_folder)
    with pytest.raises(InputError, match="50257 entries and its model 257"):
        load_model(weights_folder)


def test_what_is_no_folder_of_a_model_is_named(tmp_path, weights_folder):
    with pytest.raises(InputError, match="neither a run folder nor a weights folder"):
        load_model(tmp_path)
    with pytest.raises(InputError, match="has no checkpoints"):
        load_model(weights_folder, step=3)
    (tmp_path / "config.json").write_text(json.dumps({"identity": {}}), encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        load_model(tmp_path)


def test_text_is_written_from_a_weights_folder(weights_folder):
    assert write_text(weights_folder, "ab", tokens=3, temperature=0)[0].startswith("ab")


def test_text_is_written_from_int8_weights_where_the_command_says_so(weights_folder, monkeypatch):
    rounded = load_model(weights_folder, int8=True)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(rounded.params)} == {"int8", "float32"}
    asked = []
    monkeypatch.setattr(weights, "load_model", lambda *words, int8: asked.append(int8) or rounded)
    for words in ([], ["--int8"]):
        assert main(["sample", str(weights_folder), "--prompt", "ab", "--tokens", "2", *words]) == 0
    assert asked == [False, True]
