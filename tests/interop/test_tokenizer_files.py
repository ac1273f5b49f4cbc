"""What is written into another library's folder is true or null, and that library gives the same ids and logits."""

import dataclasses
import json
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_jax.data.tokenizers import BytesTokenizer, load_tokenizer, make_tokenizer
from gpt_jax.errors import InputError
from gpt_jax.interop import save_pretrained
from gpt_jax.interop.tokenizer_files import what_differs, write_tokenizer
from tests.interop.weights_folders import TINY, logits, random_params

pytestmark = pytest.mark.skipif(find_spec("transformers") is None, reason="the extra `parity` is not installed")
TRAINED_ON = ["the cat sat on the mat, and that was that.  aaa aaaa ---- 12 345\n\n\tif x == y:\n"] * 40
TOKENIZERS = {
    "bytes": lambda: BytesTokenizer(),
    "gpt2": lambda: make_tokenizer("gpt2", 50257, None),
    "sentencepiece": lambda: make_tokenizer("sentencepiece", 330, lambda: iter(TRAINED_ON)),
}
PIECES = st.sampled_from(
    ["the", " cat", "  ", "\n", "a", "aa", "-", "12", "é", "<|endoftext|>", "<0x41>", "\0", "that"]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES).map("".join)).filter(lambda text: "\u2581" not in text)


@pytest.fixture(scope="module")
def transformers():
    return import_module("transformers")


@pytest.fixture(scope="module", params=TOKENIZERS)
def both(request, transformers, tmp_path_factory):
    """A tokenizer, Transformers' reading of what was written of it, and the folder."""
    folder, tokenizer = tmp_path_factory.mktemp(request.param), TOKENIZERS[request.param]()
    write_tokenizer(tokenizer, folder, 64)
    return tokenizer, transformers.AutoTokenizer.from_pretrained(folder), folder


@given(text=TEXTS)
def test_ids_and_texts_are_the_same_for_any_text(both, text):
    ours, theirs, _ = both
    ids = ours.encode(text)
    assert theirs(text)["input_ids"] == ids
    assert theirs.decode(ids) == ours.decode(ids)


def test_the_end_of_text_is_named_and_ours_is_read_back(both):
    ours, theirs, folder = both
    assert theirs.eos_token_id == theirs.bos_token_id == ours.end_of_text
    assert load_tokenizer(folder).digest == ours.digest
    assert (what_differs(ours) is None) == (ours.name != "sentencepiece")


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_folder_with_its_tokenizer_is_read_by_transformers(transformers, norm, tmp_path):
    torch = pytest.importorskip("torch")
    config = dataclasses.replace(
        TINY, vocab_size=264, context_length=32, norm=norm, initialization=f"gpt{1 + (norm == 'pre')}"
    )
    params = random_params(config)
    save_pretrained(config, params, tmp_path, BytesTokenizer())
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path)("a dog", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        np.testing.assert_allclose(model(ids).logits.numpy(), logits(config, params, ids.numpy()), rtol=1e-5, atol=1e-4)
    assert model.config.eos_token_id == model.config.bos_token_id == 256


@pytest.mark.parametrize("size", [17, 50257, 60000])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_an_end_of_text_that_is_unknown_is_null(transformers, size, norm, tmp_path):
    config = dataclasses.replace(TINY, vocab_size=size, norm=norm)
    save_pretrained(config, random_params(config), tmp_path)
    values = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    read = transformers.AutoConfig.from_pretrained(tmp_path)
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert values[key] is None and getattr(read, key) is None
    assert values["dtype"] == "float32" and read.vocab_size == size


def test_the_dtype_is_that_of_the_tensors_and_the_deviation_only_of_a_normal_initialisation(tmp_path):
    config = dataclasses.replace(TINY, param_dtype="bfloat16", initialization="xavier")
    params = random_params(TINY)
    save_pretrained(config, params, tmp_path / "a")
    save_pretrained(config, {**params, "wte": np.asarray(params["wte"], np.float64)}, tmp_path / "b")
    a, b = (json.loads((tmp_path / name / "config.json").read_text(encoding="utf-8")) for name in "ab")
    assert a["dtype"] == "float32" and b["dtype"] is None and "initializer_range" not in a


def test_a_tokenizer_past_the_vocabulary_is_refused(tmp_path):
    with pytest.raises(InputError, match="its tokenizer has 257 entries and its model 17: at most as many"):
        save_pretrained(TINY, random_params(TINY), tmp_path / "new", BytesTokenizer())
    assert not (tmp_path / "new").exists()


def test_an_lstm_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"model\.architecture: 'lstm' cannot be saved"):
        save_pretrained(dataclasses.replace(TINY, architecture="lstm"), random_params(TINY), tmp_path / "new")
