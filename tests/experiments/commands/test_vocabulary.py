"""A tokenizer of more entries than the model is refused by name on every command: a lookup past the last row is not."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from experiments.cli import main
from gpt_jax.interop import save_pretrained
from gpt_jax.model.interface import language_model
from tests.finetuning.tiny import MODEL, TOKENIZER


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A model of 200 entries, beside a tokenizer of 257."""
    folder = tmp_path_factory.mktemp("weights") / "small"
    config = dataclasses.replace(MODEL, vocab_size=200)
    params = jax.jit(language_model(config).init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    save_pretrained(config, params, folder)
    TOKENIZER.save(folder)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["sample", "DIR", "--prompt", "a"],
        ["evaluate", "DIR", "--tasks", "sums"],
        ["export", "DIR", "exported"],
        ["finetune", "DIR", "--task", "grammar"],
        pytest.param(["harness", "--model_args", "path=DIR", "--tasks", "arithmetic_1dc"], marks=pytest.mark.slow),
    ],
    ids=lambda words: words[0],
)
def test_a_model_with_a_tokenizer_of_more_entries_is_refused(words, weights, tmp_path, monkeypatch, capsys):
    if words[0] == "harness":
        pytest.importorskip("lm_eval")
    monkeypatch.chdir(tmp_path)
    assert main([word.replace("DIR", str(weights)) for word in words]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"error: {weights}: its tokenizer has 257 entries and its model 200: at most as many are allowed"
    assert not list(tmp_path.rglob("*.json*"))


@pytest.mark.parametrize("command", ["run", "train"])
def test_a_text_that_needs_more_entries_than_the_model_has_is_not_trained_on(command, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("some text", encoding="utf-8")
    words = [command, "quickstart", "--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*words, "data.tokenizer=bytes", "model.vocab_size=200"]) == 2
    assert "error: model.vocab_size: 200 is not allowed: data.tokenizer 'bytes' has 257" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("config.json"))
