"""Tokenizers: published ids, exact round trips, and one vocabulary under every name it is stored by."""

import json
import subprocess
import sys

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from gpt_jax.data.text import blocks
from gpt_jax.data.tokenizers import BytesTokenizer, continued, load_tokenizer, make_tokenizer
from gpt_jax.errors import InputError

# Made with tiktoken 0.13's encode_ordinary from OpenAI's encoder.json and vocab.bpe.
GPT2_IDS = {
    "": [],
    "Hello world": [15496, 995],
    " Hello  world": [18435, 220, 995],
    "Hello\n\nworld\n": [15496, 198, 198, 6894, 198],
    "a\t\tb \t c": [64, 197, 197, 65, 220, 197, 269],
    "trailing spaces   ": [9535, 4386, 9029, 220, 220, 220],
    "\r\nWindows\r\n lines\r\n": [201, 198, 11209, 201, 198, 3951, 201, 198],
    "I'll, you've, WE'VE, don't, it's, 'sir": [
        40,
        1183,
        11,
        345,
        1053,
        11,
        12887,
        6,
        6089,
        11,
        836,
        470,
        11,
        340,
        338,
        11,
        705,
        82,
        343,
    ],
    "3.14159 and 1,000,000": [18, 13, 1415, 19707, 290, 352, 11, 830, 11, 830],
    "naïve café Ångström": [2616, 38776, 40304, 6184, 227, 782, 2536, 9101, 76],
    "Ünïcödé ß ẞ ﬁ": [127, 250, 77, 26884, 66, 9101, 67, 2634, 6184, 253, 28053, 118, 252, 27332, 105, 223],
    "日本語のテキスト": [33768, 98, 17312, 105, 45739, 252, 5641, 24336, 25084, 43302],
    "Привет, мир": [140, 253, 21169, 18849, 38857, 16843, 20375, 11, 12466, 120, 18849, 21169],
    "مرحبا بالعالم": [25405, 26897, 148, 255, 39848, 12919, 17550, 101, 23525, 44690, 23525, 25405],
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 emoji \U0001f916": [
        41840,
        102,
        447,
        235,
        41840,
        102,
        447,
        235,
        41840,
        100,
        447,
        235,
        41840,
        99,
        44805,
        12520,
        97,
        244,
    ],
    "á decomposed é": [64, 136, 223, 38237, 1335, 38251],
    "zero\u200bwidth \xa0no-break\u3000ideographic": [
        22570,
        9525,
        10394,
        220,
        1849,
        3919,
        12,
        9032,
        5099,
        222,
        485,
        6826,
    ],
    "\x00\x01\x7f control": [188, 189, 221, 1630],
    "<|endoftext|> in text": [27, 91, 437, 1659, 5239, 91, 29, 287, 2420],
    "<|endoftext|": [27, 91, 437, 1659, 5239, 91],
    "\u2581under \ufeffmark \ufffd": [5008, 223, 4625, 27332, 119, 123, 4102, 20543],
    "def f(x):\n    return x**2  # code": [
        4299,
        277,
        7,
        87,
        2599,
        198,
        220,
        220,
        220,
        1441,
        2124,
        1174,
        17,
        220,
        1303,
        2438,
    ],
    "https://example.org/?q=a%20b&c=d": [5450, 1378, 20688, 13, 2398, 20924, 80, 28, 64, 4, 1238, 65, 5, 66, 28, 67],
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": [24794, 24794, 24794, 24794, 24794, 24794, 24794, 24794],
    "!!!???...;;;": [10185, 28358, 986, 7665, 26],
    "x\u2028y\u2029z\x85w": [87, 447, 101, 88, 447, 102, 89, 126, 227, 86],
    "Ⅷ ½ ² ١٢٣": [158, 227, 100, 25208, 1587, 110, 18923, 94, 149, 95, 149, 96],
    "ZWJ\u200d \u0915\u094d\u0937\u093f \u0e01\u0e47": [
        57,
        54,
        41,
        447,
        235,
        28225,
        243,
        24231,
        235,
        11976,
        115,
        11976,
        123,
        220,
        19567,
        223,
        31479,
        229,
    ],
}


# A vocabulary in the form of GPT-1's: words end in </w>.
GPT1_TOKENS = "<unk> l o w e r l</w> o</w> w</w> e</w> r</w> ,</w> !</w> 1</w> lo low low</w> er</w> lower</w> é</w>"
GPT1_VOCABULARY = {token: i for i, token in enumerate(GPT1_TOKENS.split())}
GPT1_MERGES = ["l o", "lo w", "lo w</w>", "e r</w>", "low er</w>"]


@pytest.fixture
def gpt1_folder(tmp_path):
    folder = tmp_path / "gpt1"
    folder.mkdir()
    (folder / "encoder_bpe_40000.json").write_text(json.dumps(GPT1_VOCABULARY), encoding="utf-8")
    (folder / "vocab_40000.bpe").write_text("#version: 0.2\n" + "\n".join(GPT1_MERGES) + "\n", encoding="utf-8")
    return folder


any_text = st.one_of(st.text(), st.text(alphabet=" \t\n\r\x00\u2581\u2028<|>endoftext0x41ab'"))


@pytest.mark.parametrize("text", list(GPT2_IDS), ids=range(len(GPT2_IDS)))
def test_gpt2_ids_equal_tiktokens(gpt2, text):
    assert gpt2.encode(text) == GPT2_IDS[text]
    assert gpt2.encode_batch([text, "x", text]) == [GPT2_IDS[text], [87], GPT2_IDS[text]]
    assert gpt2.decode(GPT2_IDS[text]) == text


def test_gpt2_has_the_published_size_and_end_of_text(gpt2):
    assert (gpt2.name, gpt2.vocab_size, gpt2.end_of_text) == ("gpt2", 50257, 50256)


@given(any_text)
def test_sentencepiece_round_trip_is_lossless(sentencepiece, text):
    ids = sentencepiece.encode(text)
    assert sentencepiece.decode(ids) == text
    assert all(1 < i < 600 for i in ids)  # neither unknown nor end of text


@given(any_text)
def test_bytes_round_trip_is_lossless(text):
    tokenizer = BytesTokenizer()
    assert tokenizer.encode(text) == list(text.encode())
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(any_text)
def test_gpt2_round_trip_is_lossless(gpt2, text):
    assert gpt2.decode(gpt2.encode(text)) == text
    assert gpt2.end_of_text not in gpt2.encode(text)


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


def test_ids_past_the_vocabulary_decode_to_a_mark(sentencepiece):
    assert sentencepiece.decode([*sentencepiece.encode("ab"), 600]) == "ab\ufffd"


def test_sentencepiece_has_exactly_the_size_asked_for(sentencepiece, play):
    assert sentencepiece.vocab_size == 600
    assert make_tokenizer("sentencepiece", 601, lambda: [play]).vocab_size == 601


def test_sentencepiece_training_is_deterministic(sentencepiece, play):
    again = make_tokenizer("sentencepiece", 600, lambda: iter([play]))
    assert again.digest == sentencepiece.digest
    assert again.encode(play) == sentencepiece.encode(play)
    assert make_tokenizer("sentencepiece", 599, lambda: [play]).digest != sentencepiece.digest


def test_sentencepiece_learns_line_ends(sentencepiece, play):
    assert len(sentencepiece.encode(",\n")) == 1
    assert len(sentencepiece.encode(play)) < len(play) / 2


def test_saved_tokenizers_load_as_they_were(tmp_path, sentencepiece, gpt2, gpt1_folder):
    gpt1 = make_tokenizer(f"gpt1:{gpt1_folder}", 100, None)
    for tokenizer in (sentencepiece, gpt2, gpt1, BytesTokenizer()):
        tokenizer.save(tmp_path / tokenizer.name)
        loaded = load_tokenizer(tmp_path / tokenizer.name)
        for attribute in ("name", "vocab_size", "end_of_text", "digest"):
            assert getattr(loaded, attribute) == getattr(tokenizer, attribute)
        assert loaded.encode("lower, low!") == tokenizer.encode("lower, low!")


def test_a_transformers_file_that_marks_special_tokens_gives_the_same_ids(gpt2, tmp_path):
    gpt2.save(tmp_path)
    marked = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    marked.add_special_tokens(["<|endoftext|>"])
    assert marked.encode("<|endoftext|>").ids == [50256]
    marked.enable_truncation(3)
    marked.save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenizer(tmp_path)
    assert loaded.digest == gpt2.digest
    assert loaded.encode("<|endoftext|> in text") == GPT2_IDS["<|endoftext|> in text"]
    assert loaded.decode([50256, 87]) == "<|endoftext|>x"


def test_gpt1_lower_cases_and_marks_word_ends(gpt1_folder):
    tokenizer = make_tokenizer(f"gpt1:{gpt1_folder}", 20, None)
    assert (tokenizer.name, tokenizer.vocab_size, tokenizer.end_of_text) == ("gpt1", 20, None)
    expected = ["lower</w>", ",</w>", "low</w>", "!</w>", "<unk>"]
    assert tokenizer.encode(" Lower,\nLOW! z") == [GPT1_VOCABULARY[token] for token in expected]
    assert tokenizer.decode(tokenizer.encode("LOWER, low!")) == "lower , low !"


def test_a_continuation_is_set_off_from_its_prompt_as_the_tokenizer_does(gpt1_folder, sentencepiece):
    gpt1 = make_tokenizer(f"gpt1:{gpt1_folder}", 20, None)
    assert continued(gpt1, gpt1.encode("low"), gpt1.encode("lower!")) == " lower !"
    for tokenizer in (sentencepiece, BytesTokenizer()):
        start = tokenizer.encode("some text")
        assert continued(tokenizer, start, tokenizer.encode(" and more")) == " and more"


def test_transformers_file_names_give_the_same_tokenizer(gpt1_folder, tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps(GPT1_VOCABULARY), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(GPT1_MERGES) + "\n", encoding="utf-8")
    ours = make_tokenizer(f"gpt1:{gpt1_folder}", 20, None)
    assert load_tokenizer(tmp_path).digest == ours.digest


def test_other_merges_give_another_digest(gpt1_folder):
    before = make_tokenizer(f"gpt1:{gpt1_folder}", 20, None).digest
    (gpt1_folder / "vocab_40000.bpe").write_text("\n".join(GPT1_MERGES[:-1]), encoding="utf-8")
    assert make_tokenizer(f"gpt1:{gpt1_folder}", 20, None).digest != before


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


def test_empty_training_text_is_refused():
    with pytest.raises(InputError, match="there is no training text"):
        make_tokenizer("sentencepiece", 300, lambda: [])


def test_a_vocabulary_of_the_other_model_is_refused(gpt1_folder):
    with pytest.raises(InputError, match="holds the vocabulary of gpt1, not gpt2"):
        make_tokenizer(f"gpt2:{gpt1_folder}", 20, None)


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
