"""What Transformers writes is read, and what we write Transformers computes the same logits from."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from gpt_jax.interop import load_pretrained, save_pretrained
from tests.interop.weights_folders import (
    CONFIGS,
    logits,
    random_params,
)
from tests.make_golden import MODEL_TYPES, build

slow = lambda *values: pytest.param(*values, marks=pytest.mark.slow)  # noqa: E731
pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "transformers")),
    reason="torch and transformers are not installed (extra: parity)",
)


@pytest.mark.parametrize("name", ["gpt2", *(slow(name) for name in CONFIGS if name != "gpt2")])
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


@pytest.mark.slow
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


def torch_logits(model, tokens_BT: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return model.eval()(torch.from_numpy(tokens_BT)).logits.numpy()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "gpt1", "untied"])
def test_a_padded_vocabulary_goes_out_and_in_whole(tmp_path, name):
    """17 entries and 7 rows of padding: both sides compute 24 logits; cut to the tokenizer's 17 they stay the same."""
    from transformers import AutoModelForCausalLM

    config = dataclasses.replace(CONFIGS[name], vocab_size=24)
    save_pretrained(config, random_params(config), tmp_path)
    tokens_BT = np.random.default_rng(0).integers(0, 17, (3, 6))
    theirs_BTV = torch_logits(AutoModelForCausalLM.from_pretrained(tmp_path), tokens_BT)
    assert theirs_BTV.shape[-1] == 24
    np.testing.assert_allclose(logits(*load_pretrained(tmp_path), tokens_BT), theirs_BTV, rtol=1e-5, atol=1e-4)

    config, params = load_pretrained(tmp_path, vocab_size=17)
    assert config.vocab_size == 17
    np.testing.assert_allclose(logits(config, params, tokens_BT), theirs_BTV[..., :17], rtol=1e-5, atol=1e-4)
    save_pretrained(config, params, tmp_path / "cut")
    theirs_BTV = torch_logits(AutoModelForCausalLM.from_pretrained(tmp_path / "cut"), tokens_BT)
    np.testing.assert_allclose(logits(config, params, tokens_BT), theirs_BTV, rtol=1e-5, atol=1e-4)


def test_a_folder_as_old_hubs_hold_them(tmp_path):
    """float16, no prefix, mask buffers, a stored head equal to the embedding, n_ctx for n_positions, torch_dtype."""
    model = build("gpt2", seed=5, layer_norm_epsilon=1e-2, n_inner=40, activation_function="gelu_fast").half().float()
    tensors = {name: value.detach().numpy().astype(np.float16) for name, value in model.transformer.named_parameters()}
    mask = np.tril(np.ones((1, 1, 24, 24), np.uint8))
    tensors |= {f"h.{n}.attn.bias": mask for n in range(2)}
    tensors |= {f"h.{n}.attn.masked_bias": np.array(-1e4, np.float32) for n in range(2)}
    tensors["lm_head.weight"] = tensors["wte.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    values = {key: value for key, value in model.config.to_dict().items() if key in KEPT}
    values |= {"model_type": "gpt2", "n_ctx": 24, "torch_dtype": "float16", "architectures": ["GPT2LMHeadModel"]}
    values |= {"task_specific_params": {"text-generation": {"max_length": 50}}, "summary_type": "cls_index"}
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")

    config, params = load_pretrained(tmp_path)
    assert (config.context_length, config.d_ff, config.tie_embeddings) == (24, 40, True)
    tokens_BT = np.random.default_rng(0).integers(0, 61, (3, 24))
    np.testing.assert_allclose(logits(config, params, tokens_BT), torch_logits(model, tokens_BT), rtol=0, atol=1e-5)


KEPT = ("vocab_size", "n_embd", "n_layer", "n_head", "n_inner", "layer_norm_epsilon", "activation_function")
