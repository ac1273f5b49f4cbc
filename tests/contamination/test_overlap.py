"""Contamination against brute force, the papers' definitions by hand, and texts put there on purpose."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import configs
from experiments.cli import main
from experiments.commands.contamination import item_text
from gpt_jax.config import override
from gpt_jax.contamination import ngrams as ngrams_module
from gpt_jax.contamination.ngrams import NgramIndex, alphanumeric_words, unpunctuated_words
from gpt_jax.contamination.overlap import (
    NgramFilter,
    Overlap,
    Split,
    bloom_overlap,
    collision_length,
    false_positives,
    split_clean_dirty,
    split_tasks,
    total,
)
from gpt_jax.contamination.training_filter import filter_training
from gpt_jax.errors import InputError
from tests.experiments.made_up import write_folder

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=40).map(" ".join)


def words(count: int, start: int = 0) -> str:
    """Words that stand nowhere else: w0 w1 ..."""
    return " ".join(f"w{number}" for number in range(start, start + count))


def stands(gram: str, documents: list[str]) -> bool:
    return any(f" {gram} " in f" {document} " for document in documents)


def test_words_are_those_of_the_papers():
    text = "Don't  STOP -- 'Ünder_way', 3.5!\n"
    assert alphanumeric_words(text) == ["don", "t", "stop", "ünder", "way", "3", "5"]
    assert unpunctuated_words(text) == ["dont", "stop", "ünderway", "35"]


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4), st.integers(1, 5))
def test_the_index_finds_exactly_what_brute_force_finds(documents, texts, n):
    wanted = {" ".join(text.split()[i : i + n]) for text in texts for i in range(len(text.split()) - n + 1)}
    assert NgramIndex(wanted).find(documents, unpunctuated_words) == {
        gram for gram in wanted if stands(gram, documents)
    }


@given(st.lists(WORDS, max_size=4), WORDS, st.integers(1, 5))
def test_the_filter_holds_what_was_added_and_nothing_else_here(documents, text, n):
    training = NgramFilter(n, part=1 << 10)
    training.add(documents)
    grams = [" ".join(text.split()[i : i + n]) for i in range(len(text.split()) - n + 1)]
    assert training.holds(text.split()) == [stands(gram, documents) for gram in grams]
    assert training.ngrams == sum(max(len(document.split()) - n + 1, 0) for document in documents)


def test_equal_hashes_of_different_words_find_nothing(monkeypatch):
    monkeypatch.setattr(ngrams_module.xxhash, "xxh3_64_intdigest", lambda data: 7)
    assert NgramIndex({"a b", "c d"}).find(["a b a"], unpunctuated_words) == {"a b"}


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_documents_in_parts_and_batches_are_read_as_one(monkeypatch, batch):
    """Parts cut words in two, blocks and batches cut runs of words: every run is found, and counted once."""
    monkeypatch.setattr(ngrams_module, "BATCH", batch)
    monkeypatch.setattr(ngrams_module, "BLOCK", 16)
    text = words(60)
    parts = [text[start : start + 5] for start in range(0, len(text), 5)]
    training = NgramFilter(8, part=64)
    training.add([iter(parts)])
    assert training.ngrams == 53 and all(training.holds(text.split()))
    wanted = {" ".join(text.split()[i : i + 13]) for i in range(48)}
    assert NgramIndex(wanted).find([iter(parts)], unpunctuated_words) == wanted


def test_no_run_reaches_into_the_next_document():
    training = NgramFilter(8)
    training.add([words(7), words(7, 7)])
    assert training.ngrams == 0 and not any(training.holds(words(14).split()))
    assert split_clean_dirty([words(7), words(7, 7)], [words(14)]).dirty == ()


def test_the_filter_grows_and_keeps_what_it_held():
    training = NgramFilter(2, part=10)
    training.add([words(100)])
    small = training.bytes
    training.add([words(100, 1000)])
    assert all(training.holds(words(100).split())) and all(training.holds(words(100, 1000).split()))
    assert training.bytes > small and training.ngrams == 198


def test_false_positives_come_at_the_stated_rate():
    """At a rate of 1 % about 1 % of random strings (more would mean bits too few, none a filter that does not fill)."""
    training = NgramFilter(8, rate=0.01, part=20_000)
    training.add([words(20_007)])
    assert 0.001 < false_positives(training, 100_000) / 100_000 < 0.0125
    strict = NgramFilter(8, part=20_000)
    strict.add([words(40_007)])
    assert false_positives(strict, 100_000) == 0


def test_overlap_is_the_share_of_8_grams():
    """10 of the text's words are the corpus's: 3 of its 13 8-grams."""
    training = NgramFilter()
    training.add([f"Before. {words(10)}; after, and so on"])
    text = f"{words(10).upper()} {words(10, 500)}"
    assert bloom_overlap(training, [text, "too short"]) == [Overlap(3, 13), Overlap(0, 0)]
    assert total(bloom_overlap(training, [text, text])) == Overlap(6, 26)
    assert Overlap(3, 12).share == 0.25 and Overlap(0, 0).share == 0.0


@pytest.mark.parametrize(("lengths", "n"), [([3] * 10, 8), ([10] * 10, 10), ([40] * 10, 13), ([9, 9, *[20] * 18], 9)])
def test_n_is_the_fifth_percentile_between_8_and_13(lengths, n):
    assert collision_length([words(length) for length in lengths]) == n


def test_one_collision_makes_an_example_dirty():
    long = words(20)
    texts = [f"{words(12, 900)} x {words(13)}", f"{words(12)} {words(12, 100)}", words(5), words(5, 100), "?!"]
    split = split_clean_dirty([long], texts, n=13)
    assert split == Split(13, clean=(1, 3, 4), dirty=(0, 2))  # 12 words are too few; a short example counts whole
    assert split_tasks([long], {"t": texts}, n=13, short="clean")["t"] == Split(13, (1, 2, 3, 4), (0,))


def test_tasks_share_one_pass_and_keep_their_own_n():
    reads = []

    def documents():
        reads.append(1)
        yield words(9)

    tasks = {"short": [words(8), words(8, 50)], "long": [f"{words(9)} {words(30, 200)}"]}
    assert split_tasks(documents(), tasks) == {"short": Split(8, (1,), (0,)), "long": Split(13, (0,), ())}
    assert len(reads) == 1


def test_wrong_use_is_one_line():
    with pytest.raises(InputError, match="n: 0 is not allowed"):
        split_clean_dirty([""], ["a"], n=0)
    with pytest.raises(InputError, match="no examples"):
        split_clean_dirty([""], [])
    with pytest.raises(InputError, match="rate=2"):
        NgramFilter(rate=2)


# GPT-3's training filter


def prose(characters: int, start: int) -> str:
    """`characters` of text of words of their own."""
    return words(characters, start)[: characters - 1] + " "


def test_the_gram_goes_with_200_characters_on_each_side():
    gram = words(13)
    before, after = prose(1000, 1000), prose(900, 5000)
    (kept,) = filter_training([before + gram.upper() + "! " + after], [gram])
    assert kept == [before[:-200], after[199:]]  # the mark is part of the last word, the space is not


def test_pieces_shorter_than_200_characters_are_dropped():
    before, after = prose(399, 1000), prose(402, 5000)
    assert list(filter_training([before + words(13) + " " + after], [words(13)])) == [[after[199:]]]


def test_a_document_in_more_than_10_pieces_is_dropped():
    def document(collisions: int) -> str:
        return prose(700, 1000) + "".join(words(13) + " " + prose(700, 10_000 * (n + 2)) for n in range(collisions))

    nine, ten = filter_training([document(9), document(10)], [words(13)])
    assert len(nine) == 10 and ten == []


def test_a_gram_in_more_than_10_documents_stays():
    def documents(count: int) -> list[str]:
        return [prose(600, 10_000 * (n + 1)) + words(13) + " " for n in range(count)]

    assert list(filter_training(documents(11), [words(13)])) == [[document] for document in documents(11)]
    assert all(words(13) not in piece for pieces in filter_training(documents(10), [words(13)]) for piece in pieces)


def test_long_documents_are_filtered_too():
    """The paper's own filter missed them."""
    book = prose(400_000, 1000)
    pieces = next(filter_training([book + words(13) + " " + book], [words(13)]))
    assert len(pieces) == 2 and sum(map(len, pieces)) == 2 * len(book) - 399


# The command


def test_the_command_names_the_dirty_items(tmp_path, capsys):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "book.txt").write_text(f"{words(30)}\n", encoding="utf-8")
    task = tmp_path / "task.jsonl"
    task.write_text("\n".join(json.dumps({"text": words(12, start), "id": 3}) for start in (5, 100)), encoding="utf-8")
    out = tmp_path / "overlap.json"
    assert main(["contamination", str(tmp_path / "corpus"), "--tasks", str(task), "--out", str(out)]) == 0
    row = json.loads(out.read_text(encoding="utf-8"))["tasks"][str(task)]
    assert (row["n"], row["clean"], row["dirty"]) == (12, [1], [0])
    assert (row["found"], row["ngrams"], row["item_overlap"]) == (5, 10, [1.0, 0.0])
    printed = capsys.readouterr().out
    assert "task.jsonl" in printed and "50.00%" in printed
    assert re.search(r"23 8-grams in \d+ MiB at a rate of 1e-08; of 1,000,000 random strings it holds 0", printed)


def test_of_a_run_folder_only_the_training_text_counts(tmp_path, monkeypatch):
    """A text's last tenth is held out: an item there is clean."""
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "book.txt").write_text(words(1000), encoding="utf-8")
    config = override(configs.get("quickstart"), {"data.source": "local", "data.validation_fraction": 0.1})
    identity = {"experiment": "quickstart", "arm": "gpt", "seed": 0, "scale": "smoke"}
    write_folder(tmp_path / "run", config, identity)
    (tmp_path / "task.txt").write_text(f"{words(20, 100)}\n{words(20, 970)}\n", encoding="utf-8")
    command = ["contamination", str(tmp_path / "run"), "--tasks", str(tmp_path / "task.txt")]
    assert main([*command, "--corpus-dir", str(tmp_path / "text"), "--out", str(tmp_path / "o.json")]) == 0
    (row,) = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))["tasks"].values()
    assert (row["clean"], row["dirty"]) == ([1], [0])


def test_the_command_refuses_what_is_not_there(tmp_path, capsys):
    (tmp_path / "task.txt").write_text("a line\n", encoding="utf-8")
    for arguments, word in (
        ([str(tmp_path / "none"), "--tasks", str(tmp_path / "task.txt")], "none: does not exist"),
        ([str(tmp_path), "--tasks", str(tmp_path / "none.tsv")], "none.tsv is missing"),
        ([str(tmp_path / "task.txt"), "--tasks", str(tmp_path / "task.txt")], "holds no run of 8 words"),
    ):
        assert main(["contamination", *arguments]) == 2
        error = capsys.readouterr().err
        assert word in error and error.count("\n") == 1


def test_an_items_text_is_all_of_its_strings():
    assert item_text({"q": "Why?", "answers": ["a", ("b", 3)], "label": 1}) == "Why?\na\nb"
