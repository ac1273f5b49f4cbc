"""`export`: Transformers reads model and tokenizer back; `harness`: the words are the harness's."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cli import main
from gpt_jax import GPT, ModelConfig, save_pretrained
from gpt_jax.data.tokenizers import BytesTokenizer, make_tokenizer
from gpt_jax.loading import load_model

TINY = ModelConfig(vocab_size=257, context_length=32, n_layer=1, n_head=2, d_model=8, initialization_std=0.3)


def weights(folder, config=TINY, tokenizer=None):
    params = jax.jit(GPT(config).init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    save_pretrained(config, params, folder)
    (tokenizer or BytesTokenizer()).save(folder)
    return folder


@pytest.mark.parametrize("kind", ["bytes", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_transformers_reads_back_what_was_exported(tmp_path, capsys, kind):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    size = 257 if kind == "bytes" else 50257
    place = weights(tmp_path / "w", dataclasses.replace(TINY, vocab_size=size), make_tokenizer(kind, size, None))
    assert main(["export", str(place), str(tmp_path / "out")]) == 0
    ours = load_model(place)
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")("A dog.", return_tensors="pt")["input_ids"]
    assert ids[0].tolist() == ours.tokenizer.encode("A dog.")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        theirs = model(ids).logits.numpy()
    expected = jax.jit(GPT(ours.config).apply)({"params": ours.params}, ids.numpy())
    np.testing.assert_allclose(np.asarray(expected), theirs, rtol=1e-5, atol=1e-4)
    assert model.config.eos_token_id == ours.tokenizer.end_of_text
    assert load_model(tmp_path / "out").digest == ours.digest
    assert main(["export", str(place), str(tmp_path / "out")]) == 2
    assert "already exists" in capsys.readouterr().err


def test_a_tokenizer_with_added_special_tokens_loads_and_one_that_encodes_too_much_does_not(tmp_path, capsys):
    import tokenizers

    place = weights(tmp_path / "w", dataclasses.replace(TINY, vocab_size=50257), make_tokenizer("gpt2", 50257, None))
    inner = tokenizers.Tokenizer.from_file(str(place / "tokenizer.json"))
    inner.add_special_tokens(["[PAD]"])
    inner.save(str(place / "tokenizer.json"))
    loaded = load_model(place)
    assert (loaded.tokenizer.vocab_size, loaded.config.vocab_size) == (50257, 50257)
    assert max(loaded.tokenizer.encode("a [PAD] <|endoftext|>")) < 50257
    inner.add_tokens(["zebra"])
    inner.save(str(place / "tokenizer.json"))
    assert main(["export", str(place), str(tmp_path / "out")]) == 2
    assert "its tokenizer has 50259 entries" in capsys.readouterr().err


def test_the_harness_is_given_its_own_words(tmp_path, capsys, monkeypatch):
    pytest.importorskip("lm_eval")
    import sys

    import lm_eval.__main__

    seen = []
    monkeypatch.setattr(lm_eval.__main__, "cli_evaluate", lambda: seen.append(sys.argv[1:]))
    assert main(["harness", "--model_args", "path=DIR", "--tasks", "x"]) == 0
    assert main(["harness", "--model", "hf", "--tasks", "x"]) == 0
    assert main(["harness", "ls", "tasks"]) == 0
    assert seen == [
        ["run", "--model", "gpt_jax", "--model_args", "path=DIR", "--tasks", "x"],
        ["run", "--model", "hf", "--tasks", "x"],
        ["ls", "tasks"],
    ]
    assert main(["harness", "--tasks", "\udcff"]) == 2 and "valid Unicode" in capsys.readouterr().err
