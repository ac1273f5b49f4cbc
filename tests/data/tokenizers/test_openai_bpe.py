"""OpenAI's encodings: published ids, and one vocabulary under every name it is stored by."""

import json

import pytest
import tokenizers
from hypothesis import given

from gpt_jax.data.tokenizers import load_tokenizer, make_tokenizer
from gpt_jax.errors import InputError
from tests.data.tokenizers.vocabularies import GPT1_MERGES, GPT1_VOCABULARY, any_text, write_vocabulary

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


@pytest.mark.parametrize("text", list(GPT2_IDS), ids=range(len(GPT2_IDS)))
def test_gpt2_ids_equal_tiktokens(gpt2, text):
    assert gpt2.encode(text) == GPT2_IDS[text]
    assert gpt2.encode_batch([text, "x", text]) == [GPT2_IDS[text], [87], GPT2_IDS[text]]
    assert gpt2.decode(GPT2_IDS[text]) == text


def test_gpt2_has_the_published_size_and_end_of_text(gpt2):
    assert (gpt2.name, gpt2.vocab_size, gpt2.end_of_text) == ("gpt2", 50257, 50256)


@given(any_text)
def test_gpt2_round_trip_is_lossless(gpt2, text):
    assert gpt2.decode(gpt2.encode(text)) == text
    assert gpt2.end_of_text not in gpt2.encode(text)


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


def test_transformers_file_names_give_the_same_tokenizer(gpt1_folder, tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps(GPT1_VOCABULARY), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(GPT1_MERGES) + "\n", encoding="utf-8")
    ours = make_tokenizer(f"gpt1:{gpt1_folder}", 20, None)
    assert load_tokenizer(tmp_path).digest == ours.digest


def test_other_merges_give_another_digest(gpt1_folder):
    before = make_tokenizer(f"gpt1:{gpt1_folder}", 20, None).digest
    (gpt1_folder / "vocab_40000.bpe").write_text("\n".join(GPT1_MERGES[:-1]), encoding="utf-8")
    assert make_tokenizer(f"gpt1:{gpt1_folder}", 20, None).digest != before


def test_a_vocabulary_of_the_other_model_is_refused(gpt1_folder):
    with pytest.raises(InputError, match="holds the vocabulary of gpt1, not gpt2"):
        make_tokenizer(f"gpt2:{gpt1_folder}", 20, None)


def tiny_gpt2(holes: dict[str, int]) -> dict[str, int]:
    """The 256 bytes as GPT-2 writes them and the end of text, some entries under other ids."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    return {**{letter: i for i, letter in enumerate([*letters, "<|endoftext|>"])}, **holes}


@pytest.mark.parametrize("entry", [{"<|endoftext|>": 70_000}, {"<|endoftext|>": 257}, {"Ġ": 65_536}, {"a": 2**40}])
def test_a_vocabulary_with_holes_is_refused_by_its_entry(entry: dict[str, int], tmp_path):
    write_vocabulary(tmp_path, tiny_gpt2(entry), [])
    ((token, number),) = entry.items()
    with pytest.raises(InputError, match="are allowed") as error:
        make_tokenizer(f"gpt2:{tmp_path}", 1 << 20, None)
    assert str(number) in str(error.value)
    assert repr(token) in str(error.value)


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "7", None])
def test_an_id_that_is_no_whole_number_is_refused(wrong, tmp_path):
    write_vocabulary(tmp_path, tiny_gpt2({"a": wrong}), [])
    with pytest.raises(InputError, match="entry 'a' has id"):
        load_tokenizer(tmp_path)


def test_two_entries_of_one_id_are_refused(tmp_path):
    write_vocabulary(tmp_path, tiny_gpt2({"a": 3}), [])
    with pytest.raises(InputError, match="two entries have the id 3"):
        load_tokenizer(tmp_path)


def test_an_added_special_token_is_never_given_and_does_not_count(tmp_path):
    write_vocabulary(tmp_path / "plain", tiny_gpt2({}), [])
    plain = load_tokenizer(tmp_path / "plain")
    plain.save(tmp_path)
    marked = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    marked.add_special_tokens(["[PAD]"])
    assert marked.get_vocab_size() == 258
    marked.save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenizer(tmp_path)
    assert (loaded.vocab_size, loaded.end_of_text) == (257, 256)
    assert loaded.encode("[PAD] a") == plain.encode("[PAD] a")


def test_an_added_token_that_text_can_give_counts(tmp_path):
    write_vocabulary(tmp_path / "plain", tiny_gpt2({}), [])
    load_tokenizer(tmp_path / "plain").save(tmp_path)
    more = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    more.add_tokens(["hello"])
    more.save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenizer(tmp_path)
    assert loaded.encode("hello") == [257]
    assert loaded.vocab_size == 258
