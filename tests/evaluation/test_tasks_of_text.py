"""Tasks that a model answers in its own words: arithmetic, scrambles, summaries, translations, questions."""

import gzip
import hashlib
import json
import math
import random

import numpy as np
import pytest

from gpt_jax.evaluation.inference.requests import Generate
from gpt_jax.evaluation.tasks import arithmetic, prompts, scramble
from tests.evaluation.task_files import stack, task, write


def test_released_items_keep_their_blank_lines_and_beams(tmp_path):
    row = {"context": "\n\nQ: What is 98 plus 45?\n\nA:", "completion": " 143"}
    files = write(tmp_path, "two_digit_addition.jsonl", json.dumps(row) + "\n")
    t = task("two_digit_addition")
    (item,) = t.items(files)
    (asked,) = t.requests(item, t.example(item))
    assert isinstance(asked, Generate) and (asked.beams, asked.length_penalty, asked.until) == (4, 0.6, ("\n",))
    assert asked.context == "\n\nQ: What is 98 plus 45?\n\nA: 143\n\nQ: What is 98 plus 45?\n\nA:" and t.delimiter == ""
    assert [t.score(item, [text])["exact"] for text in (" 143", "143 ", " 1433", "")] == [True, True, False, False]
    (tmp_path / "reversed_words.jsonl.gz").write_bytes(gzip.compress(b'{"context": "\\nba =", "completion": " ab"}\n'))
    assert task("reversed_words").items(files) == [{"context": "\nba =", "completion": " ab"}]


@pytest.mark.parametrize("name", arithmetic.NAMES)
def test_generated_arithmetic_is_right_and_in_range(name):
    items = arithmetic.generated(name, 0)
    assert items == arithmetic.generated(name, 0) != arithmetic.generated(name, 1)
    assert len({item["context"] for item in items}) == len(items) <= 2000
    digits = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}.get(name.split("_")[0])
    for item in items:
        asked = item["context"].removeprefix("\n\nQ: What is ").removesuffix("?\n\nA:")
        if name == "sum_of_digits":
            value = sum(int(digit) for digit in asked.split()[-1])
        else:
            for word, sign in (("plus", "+"), ("minus", "-"), ("times", "*")):
                asked = asked.replace(word, sign)
            value = eval(asked)
        assert item["completion"] == f" {value}"
        if digits:
            assert all(
                0 <= int(part) < 10**digits
                for part in asked.replace("-", " ").replace("+", " ").replace("*", " ").split()
            )
    if name == "single_digit_three_ops":
        assert all(item["context"].split("is ")[1][0] == "(" for item in items) and len(items) == 2000


@pytest.mark.parametrize("name", scramble.NAMES)
def test_generated_scrambles_keep_what_their_rule_keeps(name, tmp_path):
    words = ["letters", "mirrored", "cowboy", "unquestionably", "apple", "abcdefghijklmnopq", "cat"]
    files = write(tmp_path, "count_1w.txt", "".join(f"{word}\t{9 - n}\n" for n, word in enumerate(words)))
    items = task(f"generated_{name}").items(files)
    shortest = 5 if name == "mid_word_1_anagrams" else 6
    assert [item["completion"][1:] for item in items] == [w for w in words if shortest <= len(w) <= 15]
    for item in items:
        shown, word = item["context"][1:-2], item["completion"][1:]
        assert item["context"] == f"\n{shown} ="
        if name == "cycle_letters_in_word":
            assert shown != word and shown in word + word
        elif name == "reversed_words":
            assert shown == word[::-1]
        elif name == "random_insertion_in_word":
            assert shown[::2] == word and set(shown[1::2]) <= set(" ./!") and len(shown) == 2 * len(word) - 1
        else:
            kept = int(name.split("_")[2])
            assert sorted(shown) == sorted(word) and (shown[:kept], shown[-kept:]) == (word[:kept], word[-kept:])


def test_anagrams_are_uniform_over_the_orders_of_the_middle():
    rng = random.Random(0)
    drawn = [scramble.scrambled("mid_word_1_anagrams", "abcde", rng) for _ in range(6000)]
    counts = np.unique(drawn, return_counts=True)[1]
    assert len(counts) == 6 and abs(counts - 1000).max() < 150


def test_summaries_are_asked_for_by_tldr_and_translations_by_pairs(tmp_path):
    files = write(tmp_path, "stories/a.story", "It rained.\n\nA lot.\n\n@highlight\n\nRain fell\n\n@highlight\n\nMuch")
    (item,) = task("tldr").items(files)
    assert item == {"article": "It rained. A lot.", "summary": "Rain fell\nMuch"}
    (asked,) = task("tldr").requests(item, "")
    assert (asked.context, asked.max_tokens, asked.top_k) == ("It rained. A lot.\nTL;DR:", 100, 2)
    assert prompts.first_sentences(" One. Two! Three? Four.", 3) == "One. Two! Three?"
    for year in (2013, 2014):
        write(tmp_path, f"newstest{year}.en", f"hello {year}\n")
        write(tmp_path, f"newstest{year}.fr", f"salut {year}\n")
    t = task("translation_en_fr")
    (asked,) = t.requests(t.items(files)[0], t.example(t.pool(files)[0]) + t.delimiter)
    assert asked.context == "hello 2013 = salut 2013\nhello 2014 ="


def test_answers_to_questions_are_compared_without_articles_case_and_punctuation(tmp_path):
    row = {"question": "who wrote it", "answer": ["The Grimms", "Jacob Grimm"]}
    t = task("natural_questions")
    (item,) = t.items(write(tmp_path, "NQ-open.dev.jsonl", json.dumps(row)))
    assert t.requests(item, "")[0].context == "Q: who wrote it?\nA:"
    assert t.score(item, [" grimms."]) == {"exact": True, "f1": 1.0}
    assert t.score(item, [" a Jacob"]) == {"exact": False, "f1": 2 / 3}


def test_coqa_carries_the_conversation_along(tmp_path):
    story = {
        "story": "It rained.",
        "questions": [{"input_text": "What?"}, {"input_text": "Where?"}],
        "answers": [{"input_text": "rain"}, {"input_text": "here"}],
        "additional_answers": {"0": [{"input_text": "a rain"}, {"input_text": "there"}]},
    }
    _, second = task("coqa").items(write(tmp_path, "coqa-dev-v1.0.json", json.dumps({"data": [story]})))
    assert second == {"context": "It rained.\nQ: What?\nA: rain\nQ: Where?\nA:", "answers": ["here", "there"]}


def test_coqa_leaves_each_answer_out_in_turn():
    row = task("coqa").score({"answers": ["rain", "rain", "much rain"]}, [" rain"])
    assert row == {"exact": 1.0, "f1": 1.0}
    row = task("coqa").score({"answers": ["rain", "snow", "hail"]}, [" rain"])
    assert math.isclose(row["f1"], 2 / 3) and math.isclose(row["exact"], 2 / 3)


def test_solved_questions_come_from_the_training_set_where_it_is_there(tmp_path):
    files = write(tmp_path, "NQ-open.dev.jsonl", json.dumps({"question": "who?", "answer": ["me"]}))
    assert task("natural_questions").load(files, pool=True) == task("natural_questions").load(files)
    write(tmp_path, "NQ-open.train.jsonl", json.dumps({"question": "why", "answer": ["so"]}))
    assert task("natural_questions").load(files, pool=True) == [{"context": "Q: why?\nA:", "answers": ["so"]}]


def test_stories_are_those_of_both_papers_and_of_the_test_list(tmp_path):
    for name in ("cnn", "dailymail"):
        file = hashlib.sha1(f"http://{name}".encode()).hexdigest()
        files = write(tmp_path, f"{name}/stories/{file}.story", f"{name}.\n\n@highlight\n\nx")
    assert sorted(item["article"] for item in task("tldr").items(files)) == ["cnn.", "dailymail."]
    write(tmp_path, "url_lists/all_test.txt", "http://dailymail\n")
    assert [item["article"] for item in task("tldr").items(files)] == ["dailymail."]


def test_bleu_and_rouge_are_their_libraries():
    sacrebleu = pytest.importorskip("sacrebleu", reason="the extra `eval` is not installed")
    said = ["the cat sat on the mat today.", "it rains a lot here in may."]
    right = ["the cat sat on a mat today.", "it rains much here in may."]
    rows = [prompts.bleu_counts({"target": r}, [s]) for s, r in zip(said, right, strict=True)]
    assert math.isclose(prompts.corpus_bleu(stack(rows)), sacrebleu.corpus_bleu(said, [right]).score)
    row = prompts.rouge({"summary": "the cat sat"}, ["The cat sat. No. More. Not this."])
    assert math.isclose(row["rouge1"], 2 * 3 / (5 + 3))
