"""Mixtures by weight: counted by hand, and exact at every length."""

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_jax.config import DataConfig
from gpt_jax.data.corpus import Corpus
from gpt_jax.data.mixture import Mixture, counts, draw, in_proportion, parse_sources
from gpt_jax.data.pipeline import Mixed, open_batches, validation_batches
from gpt_jax.data.prepare import prepare, training_text
from gpt_jax.data.stream import DividedText
from gpt_jax.data.text import Document, Source
from gpt_jax.data.tokenizers import BytesTokenizer
from gpt_jax.errors import InputError

WEIGHTS = st.lists(st.integers(1, 1000), min_size=1, max_size=6)
MIX = "0.5*local:large, .3*local:middle, 0.2*local:small.jsonl"
SIZES = {"large": 4000, "middle": 2000, "small.jsonl": 400}  # characters, one letter each


@given(WEIGHTS, st.integers(0, 10**9))
def test_each_source_has_its_share_of_any_first_windows(weights, n):
    found = counts(n, weights)
    assert sum(found) == n
    most = Fraction(len(weights), 2)
    assert all(abs(count - Fraction(n * w, sum(weights))) <= most for count, w in zip(found, weights, strict=True))


@given(WEIGHTS)
def test_a_source_gives_its_windows_one_after_the_other(weights):
    total = sum(weights)
    drawn = [draw(n, weights) for n in range(min(total, 300))]
    for source in range(len(weights)):
        own = [k for s, k in drawn if s == source]
        assert own == list(range(len(own)))
    assert counts(total, weights) == weights


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("0.6*local:web, 0.22*local:b, 0.18*shakespeare", {"local:web": 30, "local:b": 11, "shakespeare": 9}),
        (
            "60*local:cc,22*local:wt,8*local:b1,8*local:b2,3*local:wiki",
            {"local:cc": 60, "local:wt": 22, "local:b1": 8, "local:b2": 8, "local:wiki": 3},
        ),
        ("1*hf:org/name:config:train , 1.*tfds:pg19", {"hf:org/name:config:train": 1, "tfds:pg19": 1}),
        ("shakespeare", {"shakespeare": 1}),
        ("local:a,b", {"local:a,b": 1}),
    ],
)
def test_weights_are_read_exactly(source, expected):
    assert dict(parse_sources(source)) == expected


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("0*local:a, 1*local:b", "0*local:a"),
        ("-1*local:a, 1*local:b", "-1*local:a"),
        ("local:a, 1*local:b", "local:a"),
        ("1*local:a, 1*local:a", "1*local:a"),
        ("0.5*local:a,", ""),
        ("0.5*, 1*local:b", "0.5*"),
        ("1e9*local:a, 1*local:b", "1e9*local:a"),
        ("1" * 99 + "*local:a, 1*local:b", "1" * 99 + "*local:a"),
    ],
)
def test_what_is_no_weight_or_no_source_is_named(source, part):
    with pytest.raises(InputError) as error:
        parse_sources(source)
    assert f"{part!r} is not allowed in a mixture" in str(error.value) and "\n" not in str(error.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three sources, of another alphabet each: a window shows where it is from."""
    place = tmp_path_factory.mktemp("sources")
    for alphabet, (name, size) in zip(("abcdefghij", "klmnopqrst", "0123456789"), SIZES.items(), strict=True):
        draws = np.random.default_rng(size).integers(10, size=size)
        text = "".join(alphabet[i] for i in draws)
        if name.endswith(".jsonl"):
            (place / name).write_text(json.dumps({"text": text}), encoding="utf-8")
        else:
            (place / name).mkdir()
            (place / name / "text.txt").write_text(text, encoding="utf-8")
    return place


def prepared(folder, source=MIX, tokenizer="bytes", vocab_size=257):
    data = DataConfig(source=source, tokenizer=tokenizer, packing="contiguous")
    return prepare(data, vocab_size=vocab_size, context_length=20, data_dir=folder, cache_dir=folder / "cache")


def source_of(window):
    letter = chr(window[0])
    return 0 if "a" <= letter <= "j" else 1 if "k" <= letter <= "t" else 2


def test_epochs_and_counts_are_those_counted_by_hand(folder):
    mixture = prepared(folder)
    # a tenth is held out; a window predicts 20 tokens, the first of all is not predicted
    assert [part.train_windows for part in mixture.by_name.values()] == [179, 89, 17]
    assert (mixture.train_windows, mixture.train_tokens) == (285, 5700)
    # of 340 windows 170, 102 and 68: 0.95, 1.15 and exactly 4 epochs
    assert mixture.epochs(340 * 20) == pytest.approx(
        {"local:large": 170 / 179, "local:middle": 102 / 89, "local:small.jsonl": 4}
    )
    batches = open_batches(mixture, batch_size=10, seed=1)
    assert Counter(source_of(row) for m in range(34) for row in batches[m]) == {0: 170, 1: 102, 2: 68}


def test_the_epochs_of_gpt3s_table_are_those_counted_by_hand():
    """Table 2.2: 410, 19, 12, 55 and 3 billion tokens by weights 60, 22, 8, 8 and 3, of 300 billion in all:
    here a millionth of them, in windows of 1,000 tokens."""
    sizes, weights = np.array([410, 19, 12, 55, 3]), np.array([60, 22, 8, 8, 3])
    parts = [Corpus(Path(), BytesTokenizer(), {"train": {"windows": int(size)}}) for size in sizes]
    manifest = {"context_length": 1000}
    mixture = Mixture(Path(), BytesTokenizer(), manifest, tuple(parts), tuple(weights.tolist()), tuple("abcde"))
    drawn = np.bincount([draw(n, mixture.weights)[0] for n in range(300)], minlength=5)
    assert np.abs(drawn - 300 * weights / weights.sum()).max() <= 2.5
    found = np.array(list(mixture.epochs(300 * 1000).values()))
    np.testing.assert_array_equal(found, drawn / sizes)
    # The paper prints 0.44, 2.9, 1.9, 0.43 and 3.4. Its weights are rounded: they give 3.4 of WebText2, 3 of Wikipedia.
    assert np.round(found, 1).tolist() == [0.4, 3.4, 2.0, 0.4, 3.0]


def test_no_window_comes_twice_within_an_epoch_of_its_source(folder):
    batches = open_batches(prepared(folder), batch_size=10, seed=1)
    rows = [row for m in range(34) for row in batches[m]]
    small = [row.tobytes() for row in rows if source_of(row) == 2]
    epochs = [small[start : start + 17] for start in range(0, 68, 17)]
    assert all(len(set(epoch)) == 17 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4  # every epoch in another order
    large = [row.tobytes() for row in rows if source_of(row) == 0]
    assert len(set(large)) == 170


@pytest.mark.parametrize("process_count", [1, 2, 4])
def test_a_mixture_resumes_anywhere_and_is_the_same_on_any_number_of_processes(folder, process_count):
    mixture = prepared(folder)
    whole = open_batches(mixture, batch_size=12, seed=3)
    shares = [
        open_batches(mixture, batch_size=12, seed=3, process_index=p, process_count=process_count)
        for p in range(process_count)
    ]
    steps = [(m * 12, 12) for m in range(7, 12)]
    for m, (batch,) in zip(range(7, 12), whole.iterate(steps, 1), strict=True):
        np.testing.assert_array_equal(batch, whole[m])
        np.testing.assert_array_equal(np.concatenate([share[m] for share in shares]), batch)
    assert any((open_batches(mixture, batch_size=12, seed=4)[m] != whole[m]).any() for m in range(3))


def test_a_mixture_of_one_is_the_corpus_itself(folder):
    one, other = prepared(folder, "3*local:large"), prepared(folder, "local:large")
    assert one.digest == other.digest
    np.testing.assert_array_equal(
        open_batches(one, batch_size=4, seed=0)[9], open_batches(other, batch_size=4, seed=0)[9]
    )


def test_validation_is_the_most_text_in_proportion_to_the_weights(folder):
    mixture = prepared(folder)
    # 400, 200 and 40 characters are held out: 20, 10 and 2 windows; the third source's 2 are a fifth
    assert [part.validation_windows for part in mixture.by_name.values()] == [20, 10, 2]
    rows = np.concatenate(list(validation_batches(mixture, batch_size=4)))
    found = Counter(source_of(row) for row in rows if row[0] >= 0)
    assert found == {0: 6, 1: 4, 2: 2} and mixture.validation_windows == 12
    assert (rows[:, 1:] >= 0).sum() == mixture.validation_tokens
    whole = Mixed(mixture, "validation")
    assert whole.sizes == [20, 10, 2]
    # one byte a token, but each split's first is not predicted
    assert mixture.validation_bytes == pytest.approx(mixture.validation_tokens, rel=0.03)


def test_the_digest_follows_sources_and_weights(folder):
    digests = [
        prepared(folder, source).digest
        for source in (
            MIX,
            MIX.replace(".3*", ".4*"),
            MIX.replace(":middle", ":middle/text.txt"),
            "5*local:large, 3*local:middle",
            "50*local:large, 30*local:middle, 20*local:small.jsonl",
        )
    ]
    assert digests[4] == digests[0] == digests[2]  # the same ratios of the same text
    assert len(set(digests)) == 3


def made_up(name, size):
    return DividedText(Source(name, name, lambda: iter([Document.of(name, name * size)])), 0.1, lambda *_: None)


def test_the_tokenizer_reads_the_sources_in_proportion_to_their_weights():
    texts = [made_up("a", 200_000), made_up("b", 20_000)]  # b is read several times, of a only a part
    characters = Counter("".join(in_proportion(texts, [1, 1], "")))
    assert characters["a"] / characters["b"] == pytest.approx(1, abs=0.05)
    assert sum(characters.values()) == pytest.approx(198_000, rel=0.05)


def test_one_tokenizer_serves_the_whole_mixture(folder):
    mixture = prepared(folder, "1*local:large, 1*shakespeare", "sentencepiece", 320)
    assert {part.tokenizer.digest for part in mixture.by_name.values()} == {mixture.tokenizer.digest}


def test_training_text_is_that_of_all_sources(folder):
    data = DataConfig(source=MIX, tokenizer="bytes")
    texts = ["".join(parts) for parts in training_text(data, folder, folder / "cache")]
    assert [len(text) for text in texts] == [3600, 1800, 360]
