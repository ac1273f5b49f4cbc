"""What holds of every tokenizer, and how one is named, saved and found."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_jax.data.text import blocks
from gpt_jax.data.tokenizers import BytesTokenizer, continued, load_tokenizer, make_tokenizer
from gpt_jax.errors import InputError
from tests.data.tokenizers.vocabularies import GPT1_VOCABULARY, any_text


@given(any_text)
def test_bytes_round_trip_is_lossless(text):
    tokenizer = BytesTokenizer()
    assert tokenizer.encode(text) == list(text.encode())
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.lists(st.text(alphabet="ab \n\u2581\u00e9"), max_size=5))
def test_a_batch_encodes_like_its_texts(sentencepiece, texts):
    assert sentencepiece.encode_batch(texts) == [sentencepiece.encode(text) for text in texts]


@pytest.mark.parametrize("name", ["sentencepiece", "gpt2", "bytes"])
def test_blocks_encode_to_the_ids_of_the_whole(name, play, sentencepiece, gpt2):
    tokenizer = {"sentencepiece": sentencepiece, "gpt2": gpt2, "bytes": BytesTokenizer()}[name]
    cut = list(blocks([play], 50))
    assert len(cut) > 500
    assert [i for ids in tokenizer.encode_batch(cut) for i in ids] == tokenizer.encode(play)


@pytest.mark.parametrize("name", ["sentencepiece", "gpt2", "bytes"])
def test_end_of_text_decodes_visibly_and_never_comes_from_text(name, sentencepiece, gpt2):
    tokenizer = {"sentencepiece": sentencepiece, "gpt2": gpt2, "bytes": BytesTokenizer()}[name]
    end = tokenizer.end_of_text
    assert tokenizer.decode([end, *tokenizer.encode("a b"), end, end]) == "<|endoftext|>a b<|endoftext|><|endoftext|>"
    assert end not in tokenizer.encode("<|endoftext|>")


def test_saved_tokenizers_load_as_they_were(tmp_path, sentencepiece, gpt2, gpt1_folder):
    gpt1 = make_tokenizer(f"gpt1:{gpt1_folder}", 100, None)
    for tokenizer in (sentencepiece, gpt2, gpt1, BytesTokenizer()):
        tokenizer.save(tmp_path / tokenizer.name)
        loaded = load_tokenizer(tmp_path / tokenizer.name)
        for attribute in ("name", "vocab_size", "end_of_text", "digest"):
            assert getattr(loaded, attribute) == getattr(tokenizer, attribute)
        assert loaded.encode("lower, low!") == tokenizer.encode("lower, low!")


def test_a_continuation_is_set_off_from_its_prompt_as_the_tokenizer_does(gpt1_folder, sentencepiece):
    gpt1 = make_tokenizer(f"gpt1:{gpt1_folder}", 20, None)
    assert continued(gpt1, gpt1.encode("low"), gpt1.encode("lower!")) == " lower !"
    for tokenizer in (sentencepiece, BytesTokenizer()):
        start = tokenizer.encode("some text")
        assert continued(tokenizer, start, tokenizer.encode(" and more")) == " and more"


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("sentencepeice", 300, "unknown data.tokenizer 'sentencepeice': did you mean 'sentencepiece'?"),
        ("gpt2", 300, "model.vocab_size: 300 is not allowed: data.tokenizer 'gpt2' has 50257 entries"),
        ("bytes", 256, "model.vocab_size: 256 is not allowed: data.tokenizer 'bytes' has 257 entries"),
        ("gpt2:/missing", 50257, "'/missing' holds no vocabulary: expected encoder_bpe_40000.json"),
        ("sentencepiece", 9000, "model.vocab_size: 9000 is not allowed: this training text supports at most"),
        ("sentencepiece", 200, "model.vocab_size: 200 is not allowed: at least"),
    ],
)
def test_wrong_names_and_sizes_are_refused_in_one_line(name, size, message, play):
    with pytest.raises(InputError) as error:
        make_tokenizer(name, size, lambda: [play[:5000]])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("sentencepiece.model", "garbage"),
        ("tokenizer.json", "{"),
        ("vocab.json", "[1"),
        ("vocab.json", "[1]"),
        ("merges.txt", "one two three"),
        ("merges.txt", "z z"),
    ],
)
def test_damaged_files_are_named(tmp_path, file, content):
    if file in ("vocab.json", "merges.txt"):
        (tmp_path / "vocab.json").write_text(json.dumps(GPT1_VOCABULARY), encoding="utf-8")
        (tmp_path / "merges.txt").write_text("l o", encoding="utf-8")
    (tmp_path / file).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="tokenizer: ") as error:
        load_tokenizer(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds none: expected"):
        load_tokenizer(tmp_path)


def test_importing_the_text_modules_starts_neither_tensorflow_nor_jax():
    modules = "gpt_jax.data.tokenizers, gpt_jax.data.prepare, gpt_jax.data.pipeline"
    heavy = "{'tensorflow', 'tensorflow_datasets', 'jax', 'grain', 'tokenizers', 'sentencepiece'}"
    code = f"import sys, {modules}; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8").stdout == "[]\n"


@pytest.mark.parametrize("text", ["\ud800", "caf\udce9", "fine \udfff", "\ud83d \ude00"])
def test_text_that_is_no_unicode_is_refused_by_every_tokenizer(text: str, sentencepiece, gpt2, gpt1_folder):
    for tokenizer in (sentencepiece, gpt2, BytesTokenizer(), load_tokenizer(gpt1_folder)):
        for encode in (tokenizer.encode, lambda text, tokenizer=tokenizer: tokenizer.encode_batch(["fine", text])):
            with pytest.raises(InputError, match="half of a surrogate pair") as error:
                encode(text)
            assert "\n" not in str(error.value)
            assert str(error.value).isprintable()
