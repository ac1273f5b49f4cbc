"""Preparation from end to end: what is held out, what is counted, what the cache survives."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from gpt_jax.config import DataConfig, ModelConfig, RunConfig, override
from gpt_jax.data.pipeline import Windows
from gpt_jax.data.prepare import open_corpus, prepare, verify_corpus
from gpt_jax.data.stream import BLOCK
from gpt_jax.disk import digest_of
from gpt_jax.errors import InputError

PLAN = (
    "format",
    "source_digest",
    "tokenizer",
    "packing",
    "validation_fraction",
    "context_length",
    "dtype",
    "windows_per_shard",
    "characters_at_once",
)
SIZES = {"bytes": 257, "sentencepiece": 400, "gpt2": 50257}


def prepared(folder, cache, tokenizer="bytes", packing="documents", context_length=32, **more):
    run = override(RunConfig(), {"data.source": "local", "data.tokenizer": tokenizer, "data.packing": packing})
    return prepare(
        run.data, vocab_size=SIZES[tokenizer], context_length=context_length, data_dir=folder, cache_dir=cache, **more
    )


def stream(corpus, split):
    """The token stream that the windows were cut from, without the tokens that training drops at the end."""
    windows = Windows(corpus, split)
    rows = windows.read(list(range(len(windows))))
    tokens = [rows[0, 0], *rows[:, 1:].reshape(-1)]
    return [int(token) for token in tokens if token >= 0]


def files(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("tokenizer", list(SIZES))
def test_each_document_is_preceded_by_end_of_text_and_every_token_is_there(speeches, tmp_path, tokenizer):
    folder, texts = speeches
    corpus = prepared(folder, tmp_path / "cache", tokenizer)
    validation = corpus.tokenizer.decode(stream(corpus, "validation"))
    train = corpus.tokenizer.decode(stream(corpus, "train"))
    held = set(validation.split("<|endoftext|>")[1:])
    assert held < set(texts)
    assert validation == "".join("<|endoftext|>" + text for text in texts if text in held)
    expected = "".join("<|endoftext|>" + text for text in texts if text not in held)
    assert expected.startswith(train)
    assert len(expected) - len(train) < 200  # at most 31 tokens are dropped


def test_no_validation_text_is_in_training(speeches, tmp_path):
    corpus = prepared(speeches[0], tmp_path / "cache")
    train = corpus.tokenizer.decode(stream(corpus, "train"))
    validation = corpus.tokenizer.decode(stream(corpus, "validation")).split("<|endoftext|>")[1:]
    assert validation and not any(text in train for text in validation)


def test_the_last_tenth_of_a_single_file_is_held_out(play, tmp_path):
    (tmp_path / "play.txt").write_text(play, encoding="utf-8")
    corpus = prepared(tmp_path / "play.txt", tmp_path / "cache", packing="contiguous")
    cut = int(len(play) * 0.9)
    assert corpus.tokenizer.decode(stream(corpus, "validation")) == play[cut:]
    train = corpus.tokenizer.decode(stream(corpus, "train"))
    assert play[:cut].startswith(train) and cut - len(train) < 32


def test_a_document_of_many_blocks_has_one_end_of_text(play, tmp_path):
    (tmp_path / "play.txt").write_text(play, encoding="utf-8")
    corpus = prepared(tmp_path / "play.txt", tmp_path / "cache")
    assert stream(corpus, "train").count(256) == stream(corpus, "validation").count(256) == 1
    assert stream(corpus, "train")[0] == 256 and len(stream(corpus, "train")) > 2 * BLOCK


def test_counts_are_those_of_the_text(play, tmp_path):
    text = "é" + play[:9_998] + "ü"
    (tmp_path / "play.txt").write_text(text, encoding="utf-8")
    corpus = prepared(tmp_path / "play.txt", tmp_path / "cache", packing="contiguous")
    assert corpus.train_bytes == 9001 and corpus.validation_bytes == 1001
    assert (corpus.train_windows, corpus.train_tokens) == (9000 // 32, 9000 // 32 * 32)
    assert (corpus.validation_windows, corpus.validation_tokens) == (32, 1000)  # 31 full ones and 8 tokens
    packed = prepared(tmp_path / "play.txt", tmp_path / "cache", packing="documents")
    assert packed.validation_tokens == 1001  # end of text predicts the first byte


def test_contiguous_windows_hold_no_end_of_text(speeches, tmp_path):
    corpus = prepared(speeches[0], tmp_path / "cache", packing="contiguous")
    assert 256 not in stream(corpus, "train") + stream(corpus, "validation")


def test_tokens_take_two_bytes_or_four(speeches, tmp_path):
    corpus = prepared(speeches[0], tmp_path / "cache")
    assert corpus.manifest["dtype"] == "uint16"
    assert np.iinfo(corpus.manifest["dtype"]).max >= SIZES["gpt2"]


def test_the_built_in_corpus_holds_out_four_plays(tmp_path):
    data = DataConfig(source="shakespeare", tokenizer="bytes")
    corpus = prepare(data, vocab_size=257, context_length=1024, cache_dir=tmp_path)
    assert corpus.manifest["validation"]["documents"] == 4
    assert corpus.validation_bytes / (corpus.train_bytes + corpus.validation_bytes) == pytest.approx(0.1, abs=0.01)


def test_a_second_opening_reads_the_cache(speeches, tmp_path):
    stages = []
    first = prepared(speeches[0], tmp_path / "cache", "sentencepiece", progress=lambda *event: stages.append(event))
    assert {stage for stage, _, _ in stages} == {
        "reading",
        "training the tokenizer",
        "tokenizing the train split",
        "tokenizing the validation split",
    }
    assert all(total is None or done <= total for _, done, total in stages)
    size = sum(len(text.encode()) for text in speeches[1])
    assert max(done for stage, done, _ in stages if stage == "reading") == size
    splits = [total for stage, total in {(stage, total) for stage, _, total in stages if "split" in stage}]
    assert sum(splits) == pytest.approx(size, abs=2)
    stages.clear()
    second = prepared(speeches[0], tmp_path / "cache", "sentencepiece", progress=lambda *event: stages.append(event))
    assert not stages and second.manifest == first.manifest


@pytest.mark.parametrize("change", ["text", "tokenizer", "packing", "context_length"])
def test_whatever_changes_the_windows_changes_the_digest(speeches, tmp_path, change):
    folder, _ = speeches
    before = prepared(folder, tmp_path / "cache").digest
    assert prepared(folder, tmp_path / "elsewhere").digest == before
    if change == "text":
        (folder / "more.txt").write_text("more", encoding="utf-8")
    values = {"tokenizer": "gpt2", "packing": "contiguous", "context_length": 16}
    assert prepared(folder, tmp_path / "cache", **{k: v for k, v in values.items() if k == change}).digest != before


KILLED = """
import os, signal, sys
from pathlib import Path
import gpt_jax.data.stream as stream
from gpt_jax.config import DataConfig, ModelConfig, RunConfig, override
from gpt_jax.data.prepare import prepare

stream.BATCH = 1000  # small batches, so that there is a middle to die in

def progress(stage, done, total):
    if stage == "tokenizing the train split" and done > total * 3 // 4:
        os.kill(os.getpid(), signal.SIGKILL)

data = DataConfig(source="local", tokenizer="bytes")
prepare(data, vocab_size=257, context_length=32, data_dir=Path(sys.argv[1]), cache_dir=Path(sys.argv[2]),
        shard_tokens=512, progress=progress)
"""


def test_a_killed_preparation_goes_on_to_the_same_bytes(speeches, tmp_path, monkeypatch):
    folder, _ = speeches
    died = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(tmp_path / "killed")])
    assert died.returncode == -signal.SIGKILL
    left = {f.name: f.stat().st_ino for f in (tmp_path / "killed").rglob("train-*.array_record")}
    assert len(left) >= 2
    monkeypatch.setattr("gpt_jax.data.stream.BATCH", 1000)
    corpus = prepared(folder, tmp_path / "killed", shard_tokens=512)
    assert left.items() <= {f.name: f.stat().st_ino for f in corpus.folder.iterdir()}.items()  # those were kept
    whole = prepared(folder, tmp_path / "whole", shard_tokens=512)
    assert files(corpus.folder) == files(whole.folder)
    assert len(corpus.shards("train")) > len(left)


LINES = ("To be, or not to be;\n", "don't  \t\n", "“quoted” — é 日本\u2028", "\r\n 1,234 \n\n", " I'll 'S   go\n")
GOLDEN = {  # of the corpus, and of its windows; never to change: published results name them
    ("bytes", "documents"): ("08ce1ae579fb160e", "d7b08d71003b8dc6"),
    ("bytes", "contiguous"): ("b493d90a4b4f3d46", "5d56e6830a1c0d49"),
    ("gpt2", "documents"): ("84f0f7231df8e255", "b12a26e868ba2929"),
    ("gpt2", "contiguous"): ("79f172a343d6914e", "efc7761f0294f3db"),
}


@pytest.mark.parametrize(("tokenizer", "packing"), list(GOLDEN))
def test_a_text_is_prepared_to_the_same_bytes_by_every_version(tmp_path, tokenizer, packing):
    texts = ["".join(LINES[(k * k + 3 * n) % 5] for k in range(n % 9 + 20)) for n in range(40)]
    folder = written(tmp_path / "text", [*texts, texts[3] + " \n", " \n"])
    corpus = prepared(folder, tmp_path / "cache", tokenizer, packing, shard_tokens=1024)
    windows = [Windows(corpus, split) for split in ("train", "validation")]
    content = b"".join(w.read(list(range(len(w)))).tobytes() for w in windows)
    assert (corpus.digest, hashlib.sha256(content).hexdigest()[:16]) == GOLDEN[tokenizer, packing]


def test_concurrent_preparations_of_one_corpus_agree(speeches, tmp_path):
    folder, _ = speeches
    digests = []

    def work():
        digests.append(prepared(folder, tmp_path / "cache", "sentencepiece", shard_tokens=512).digest)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 4 and len(set(digests)) == 1
    verify_corpus(prepared(folder, tmp_path / "cache", "sentencepiece", shard_tokens=512))
    assert len(list((tmp_path / "cache" / "corpora").iterdir())) == 1


@pytest.mark.parametrize("damage", ["bit", "cut", "gone"])
@pytest.mark.parametrize("name", ["train-00001.array_record", "tokenizer/bytes.json"])
def test_a_damaged_file_is_named_with_what_to_do(speeches, tmp_path, name, damage):
    corpus = prepared(speeches[0], tmp_path / "cache", shard_tokens=512)
    path = corpus.folder / name
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    for opening in (lambda: prepared(speeches[0], tmp_path / "cache", shard_tokens=512), lambda: verify_corpus(corpus)):
        with pytest.raises(InputError) as error:
            opening()
        assert name in str(error.value) and f"delete '{corpus.folder}'" in str(error.value)
    shutil.rmtree(corpus.folder)
    verify_corpus(prepared(speeches[0], tmp_path / "cache", shard_tokens=512))


def test_a_damaged_manifest_is_named(speeches, tmp_path):
    corpus = prepared(speeches[0], tmp_path / "cache")
    (corpus.folder / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"manifest\.json' is missing or damaged"):
        prepared(speeches[0], tmp_path / "cache")


def test_a_prepared_folder_opens_without_its_source(speeches, tmp_path):
    corpus = prepared(speeches[0], tmp_path / "cache", "sentencepiece")
    shutil.rmtree(speeches[0])
    shutil.move(corpus.folder, tmp_path / "moved")
    opened = open_corpus(tmp_path / "moved")
    assert opened.manifest == corpus.manifest and opened.tokenizer.digest == corpus.tokenizer.digest


@pytest.mark.parametrize(
    ("content", "context_length", "message"),
    [
        ("", 32, "'local' holds no text"),
        ("short", 32, "'local' is too small: 4 tokens in its train split, and model.context_length = 32 needs 33"),
        ("ten chars!", 8, "'local' is too small: 1 tokens in its validation split"),
    ],
)
def test_too_little_text_is_refused(tmp_path, content, context_length, message):
    (tmp_path / "text.txt").write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as error:
        prepared(tmp_path / "text.txt", tmp_path / "cache", packing="contiguous", context_length=context_length)
    assert message in str(error.value)


def test_a_lone_surrogate_is_named_by_line(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"text": "fine"}\n' + json.dumps({"text": "\ud800"}), encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.jsonl' line 2: not valid Unicode"):
        prepared(tmp_path / "x.jsonl", tmp_path / "cache")


def written(folder, texts):
    folder.mkdir()
    (folder / "x.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
    return folder


def test_a_corpus_that_the_first_rule_may_have_divided_is_prepared_again(speeches, tmp_path):
    """Before copies were looked for in other ends of line, corpora had no count of them; the digest of a corpus that
    both rules divide alike stays, and that of another differs."""
    one = prepared(speeches[0], tmp_path / "cache")
    assert "division" not in one.manifest and one.copies == 0
    both = [text for t in speeches[1] for text in (t, t + "\r\n")]
    two = prepared(written(tmp_path / "both", both), tmp_path / "cache")
    assert two.manifest["division"] == 2 and two.copies == 60
    for corpus, folder in ((one, speeches[0]), (two, tmp_path / "both")):
        plan = {k: v for k, v in corpus.manifest.items() if k not in ("copies", "digest", "division")}
        plain = digest_of({k: plan[k] for k in PLAN})
        assert (plain == corpus.digest) == (corpus is one)
        old = tmp_path / "cache" / "corpora" / plain
        shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(corpus.folder, old) if old != corpus.folder else old.mkdir()
        (old / "manifest.json").write_text(json.dumps({**plan, "digest": plain}), encoding="utf-8")
        assert prepared(folder, tmp_path / "cache").manifest == corpus.manifest


def test_a_corpus_is_refused_by_a_model_that_it_does_not_fit(speeches, tmp_path):
    corpus = prepared(speeches[0], tmp_path / "cache")
    corpus.require_fit(ModelConfig(vocab_size=300, context_length=32))
    with pytest.raises(InputError, match=r"^model\.vocab_size: 256 is not allowed: at least the tokenizer's 257$"):
        corpus.require_fit(ModelConfig(vocab_size=256, context_length=32))
    with pytest.raises(InputError, match=r"^model\.context_length: 16 is not allowed: .* is prepared for 32$"):
        corpus.require_fit(ModelConfig(vocab_size=300, context_length=16))
