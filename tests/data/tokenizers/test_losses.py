"""What a tokenizer loses of a text is counted: in its own words, and in the manifest of the corpus made with it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from gpt_jax.config import DataConfig
from gpt_jax.data import prepare as preparing
from gpt_jax.data import stream
from gpt_jax.data.prepare import prepare
from gpt_jax.data.tokenizers import load_tokenizer, make_tokenizer
from tests.data.tokenizers.vocabularies import any_text, write_vocabulary


@pytest.mark.parametrize(
    ("text", "losses"),
    [
        ("Low lower!", {}),
        ("low\tlow\nlow", {}),  # white space is normalised, not lost
        ("lowé", {}),  # so is an accent
        ("low zz", {"characters as <unk>": 2}),
        ("lo\u200bw \x00low\ufffd", {"characters that are not printed": 3}),
        ("\x07 ▅", {"characters that are not printed": 1, "characters as <unk>": 1}),
    ],
)
def test_gpt1s_vocabulary_says_what_it_loses(gpt1_folder, text, losses):
    tokenizer = make_tokenizer(f"gpt1:{gpt1_folder}", 20, None)
    assert not tokenizer.lossless and tokenizer.losses(text, tokenizer.encode(text)) == losses


def test_a_gpt2_vocabulary_without_all_bytes_says_how_many_it_loses(tmp_path):
    write_vocabulary(tmp_path, {c: i for i, c in enumerate("abcĠÃ")}, ["a b"][:0])
    tokenizer = load_tokenizer(tmp_path)
    text = "ab é c☃"  # of é one byte of two has an entry, of the snowman none of three
    assert not tokenizer.lossless and tokenizer.losses(text, tokenizer.encode(text)) == {"bytes without an entry": 4}


@given(text=any_text)
def test_a_lossless_tokenizer_gives_every_text_back(sentencepiece, gpt2, text):
    for tokenizer in (sentencepiece, gpt2, make_tokenizer("bytes", 257, None)):
        assert tokenizer.lossless and tokenizer.decode(tokenizer.encode(text)) == text
        assert tokenizer.losses(text, tokenizer.encode(text)) == {}


def test_a_corpus_says_what_its_tokenizer_lost_also_after_an_interruption(gpt1_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BATCH", 100)
    (tmp_path / "texts").mkdir()
    for n in range(30):
        (tmp_path / "texts" / f"{n}.txt").write_text("low lower zz \u200b" + "low " * (20 + n), encoding="utf-8")

    def corpus(cache):
        data = DataConfig(source="local", tokenizer=f"gpt1:{gpt1_folder}")
        where = {"data_dir": tmp_path / "texts", "cache_dir": tmp_path / cache}
        return prepare(data, vocab_size=20, context_length=8, shard_tokens=40, **where)

    whole = corpus("whole")
    assert whole.left_out["characters that are not printed"] == 30
    assert whole.left_out["characters as <unk>"] == 60

    write, calls = preparing.write_shards, []

    def dying(folder, name, layout, batches):
        def some(first):
            for number, batch in enumerate(batches(first)):
                if not calls and number == 6:
                    calls.append(first)
                    raise KeyboardInterrupt
                yield batch

        return write(folder, name, layout, some)

    monkeypatch.setattr(preparing, "write_shards", dying)
    with pytest.raises(KeyboardInterrupt):
        corpus("cut")
    assert list((tmp_path / "cut").rglob("train.progress.json"))
    again = corpus("cut")
    manifests = [json.loads((c.folder / "manifest.json").read_text(encoding="utf-8")) for c in (whole, again)]
    assert manifests[0] == manifests[1]
