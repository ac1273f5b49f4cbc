"""Each task reads its public files as they are distributed, asks what the papers ask, and scores as they score."""

import gzip
import hashlib
import json
import math
import random
import sys
import zipfile
from typing import Any

import numpy as np
import pytest

from gpt_jax import InputError
from gpt_jax.data.public_files import Files
from gpt_jax.evaluation.requests import Choice, Generate, Likelihood, LogLikelihood, Rolling
from gpt_jax.evaluation.task import families, find_tasks
from gpt_jax.evaluation.tasks import arithmetic, gpt1_heuristics, prompts, scramble


def likely(log_prob, tokens=1, greedy=False, allowed=False):
    return Likelihood(log_prob, tokens, greedy, allowed)


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return Files(root)


def task(name) -> Any:
    return find_tasks([name])[0]


def test_every_task_has_a_name_of_its_own_a_summary_a_source_and_a_metric():
    tasks = [task for family in families().values() for task in family]
    assert len({t.name for t in tasks}) == len(tasks) > 100
    assert all(t.summary and t.source and t.metrics for t in tasks)
    assert [t.name for t in find_tasks(["winograd", "gpt1_heuristics", "winograd"])] == [
        "winograd",
        "cola_zero_shot",
        "sst2_zero_shot",
        "race_zero_shot",
        "dprd_zero_shot",
    ]
    with pytest.raises(InputError, match="did you mean 'lambada'"):
        find_tasks(["lambda"])


def test_a_missing_file_is_named_for_every_task_that_reads_one(tmp_path):
    made = {f"generated_{name}" for name in arithmetic.NAMES} | {task.name for task in find_tasks(["sums"])}
    for t in find_tasks(families()):
        if t.name not in made:
            with pytest.raises(InputError, match=r"--data-dir: '.*' holds no '"):
                t.items(Files(tmp_path))
    with pytest.raises(InputError, match=r"--data-dir: a folder that holds 'wsc273.txt' is needed"):
        task("winograd").items(Files())


def test_lambada_and_blimp_come_from_tfds_where_no_folder_is_given(monkeypatch):
    rows = {
        "lambada": [{"passage": b"a b c"}],
        "blimp/causative": [{"sentence_good": b"Good.", "sentence_bad": b"Bad.", "UID": b"causative"}],
    }

    class Builder:
        def __init__(self, name):
            self.name = name

        def as_data_source(self, split):
            assert split == ("test" if self.name == "lambada" else "train")
            return rows[self.name]

    monkeypatch.setattr("gpt_jax.data.tfds_source.builder_of", Builder)
    assert task("lambada").items(Files()) == [{"context": "a b", "word": " c"}]
    assert task("blimp_causative").items(Files()) == [{"good": "Good.", "bad": "Bad.", "set": "causative"}]


LAMBADA = {"text": "She lit the fire and asked him to sit down, for she had a long story to tell him about the fire"}


def test_lambada_asks_for_the_last_word_plainly_and_as_a_blank_after_examples(tmp_path):
    files = write(tmp_path, "deep/down/lambada_test.jsonl", json.dumps(LAMBADA) + "\n")
    (item,) = task("lambada").items(files)
    (plain,) = task("lambada").requests(item, "")
    assert plain.continuation == " fire" and plain.context.endswith("about the") and " the" in plain.forbidden
    (blank,) = task("lambada").requests(item, "SHOWN\n")
    assert blank.context.startswith("SHOWN\nShe lit") and blank.context.endswith("about the ____. →")
    assert task("lambada").example(item).endswith("about the ____. → fire")
    row = task("lambada").score(item, [likely(-2.5, greedy=False, allowed=True)])
    assert (row["plain"], row["filtered"], row["log_prob"]) == (False, True, -2.5)


def test_lambada_draws_examples_from_the_development_set_where_it_is_there(tmp_path):
    files = write(tmp_path, "lambada_test.jsonl", json.dumps(LAMBADA))
    assert task("lambada").pool(files) == task("lambada").items(files)
    write(tmp_path, "lambada_development.jsonl", json.dumps({"text": "a b c"}))
    assert [item["word"] for item in task("lambada").pool(files)] == [" c"]


def test_blimp_reads_the_archive_and_one_set_of_it(tmp_path):
    pair = {"sentence_good": "Who left?", "sentence_bad": "Left who?", "UID": "x"}
    with zipfile.ZipFile(tmp_path / "BLiMP.zip", "w") as archive:
        for name in ("wh_island", "causative"):
            archive.writestr(f"data/{name}.jsonl", "".join(json.dumps({**pair, "UID": name}) + "\n" for _ in range(3)))
    files = Files(tmp_path)
    assert len(task("blimp").items(files)) == 6
    assert {item["set"] for item in task("blimp_causative").items(files)} == {"causative"}
    item = task("blimp").items(files)[0]
    assert task("blimp").requests(item, "") == [Choice("", (" Who left?", " Left who?"))]
    scored = [task("blimp").score(item, [(likely(a), likely(b))]) for a, b in ((-1, -2), (-2, -1), (-1, -1))]
    assert [row["correct"] for row in scored] == [True, False, False]


def test_perplexity_is_per_word_of_the_original_tokens_with_line_ends(tmp_path):
    text = " \n = One = \n \n It is 0 @.@ 5 m , he said . \n = = Part = = \n A b . \n = Two = \n C . \n"
    items = task("wikitext2").items(write(tmp_path, "wikitext2.test.txt", text))
    assert [item["text"].split("\n")[0] for item in items][1:] == ["= One =", "= Two ="]
    assert items[1]["text"].split("\n")[2] == "It is 0.5 m, he said."
    assert sum(item["units"] for item in items) == len(text.split()) + text.count("\n")
    assert task("wikitext2").requests(items[1], "") == [Rolling(items[1]["text"])]
    rows = task("wikitext2").score({"units": 10}, [(likely(-8.0, 4), likely(-2.0, 1))])
    assert [row["units"] for row in rows] == [8.0, 2.0]
    assert math.isclose(task("wikitext2").metrics[0].statistic(stack(rows)), math.exp(10 / 10))


def stack(rows):
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def test_characters_and_bytes_are_counted_on_the_last_part(tmp_path, monkeypatch):
    monkeypatch.setattr("gpt_jax.evaluation.tasks.language_modeling.TEST_CHARACTERS", 6)
    with zipfile.ZipFile(tmp_path / "enwik8.zip", "w") as archive:
        archive.writestr("enwik8", "xxxxx caf\u00e9")
    (item,) = task("enwik8").items(Files(tmp_path))
    assert item == {"text": " caf\u00e9", "units": 6}
    (item,) = task("text8").items(write(tmp_path, "text8", "one two three"))
    assert item == {"text": " three", "units": 6}


def test_every_unit_is_predicted_the_last_line_end_too(tmp_path):
    files = write(tmp_path, "lm1b.test.txt", "Ab cd .\nIt is on .\n")
    assert task("lm1b").items(files) == [{"text": "Ab cd.\n", "units": 4}, {"text": "It is on.\n", "units": 5}]


def test_wikitext2_is_not_read_from_wikitext_103(tmp_path):
    for name in ("103", "2"):
        files = write(tmp_path, f"wikitext-{name}/wiki.test.tokens", f" = {name} = \n")
    assert task("wikitext2").items(files)[-1]["text"] == "= 2 =\n"
    assert task("wikitext103").items(files)[-1]["text"] == "= 103 =\n"


def test_a_folder_of_a_files_name_is_passed_over(tmp_path):
    files = write(tmp_path, "text8/text8", "one")
    assert task("text8").items(files) == [{"text": "one", "units": 3}]


@pytest.mark.parametrize(
    ("name", "file", "text"),
    [
        ("lambada", "lambada_test.jsonl", '{"passage": "a b"}'),
        ("blimp", "blimp/x.jsonl", '{"sentence_good": "a", "sentence_bad": 1, "UID": "x"}'),
        ("arc_challenge", "ARC-Challenge-Test.jsonl", '{"question": {"stem": "x"}, "answerKey": "A"}'),
        ("hellaswag", "hellaswag_val.jsonl", '{"ctx": "x", "endings": ["a"], "label": "x"}'),
        ("story_cloze", "cloze_test_test__spring2016 - all.csv", "header\n1,2,3\n"),
        ("reversed_words", "reversed_words.jsonl", '{"context": "ba ="}'),
        ("natural_questions", "NQ-open.dev.jsonl", '{"question": "who", "answer": "me"}'),
        ("coqa", "coqa-dev-v1.0.json", '{"data": [{"story": "x"}]}'),
        ("coqa", "coqa-dev-v1.0.json", "[]"),
        ("race", "RACE/test/high/1.txt", '{"questions": ["a"], "options": [["b"]], "answers": ["E"], "article": "c"}'),
    ],
)
def test_files_of_another_form_are_an_error_of_one_line(tmp_path, name, file, text):
    with pytest.raises(InputError) as caught:
        task(name).load(write(tmp_path, file, text))
    assert "\n" not in str(caught.value)


def test_labelled_data_is_found_where_the_folder_given_is_the_tasks_own(tmp_path):
    rows = "index\tsentence1\tsentence2\tlabel\n0\tIt rained.\tWater fell.\tentailment\n"
    for name in ("train", "dev"):
        write(tmp_path, f"rte/{name}.tsv", rows)
    assert len(task("rte").items(Files(tmp_path / "rte"))) == len(task("rte").items(Files(tmp_path))) == 1


CBT = "1 The dog was old .\n2 He slept .\n21 Then the XXXXX did n't move .\tdog\t\tcat|dog\n\n"


def test_cbt_scores_the_candidate_and_the_rest_given_what_comes_before(tmp_path):
    (item,) = task("cbt_cn").items(write(tmp_path, "cbtest_CN_valid_2000ex.txt", CBT))
    before = "The dog was old. He slept. Then the"
    assert task("cbt_cn").requests(item, "") == [
        LogLikelihood(before, " cat didn't move."),
        LogLikelihood(before, " dog didn't move."),
    ]
    assert task("cbt_cn").score(item, [likely(-5.0), likely(-4.0)]) == {"correct": True}


def test_cbt_restores_brackets_and_quotes(tmp_path):
    text = "1 `` Go , '' he said -LRB- twice -RRB- .\n21 He met mr. XXXXX ; then .\tTom\t\tTom|Ann\n"
    (item,) = task("cbt_cn").items(write(tmp_path, "cbtest_CN_valid_2000ex.txt", text))
    first, second = task("cbt_cn").requests(item, "")
    assert first == LogLikelihood('"Go," he said (twice). He met mr.', " Tom; then.")
    assert second == LogLikelihood(first.context, " Ann; then.")


def test_cbt_cuts_what_comes_before_back_where_a_candidate_changes_it():
    item = {"story": ["A"], "query": "he left 'XXXXX", "choices": ["'s", "it"], "answer": 1}
    for request, end in zip(task("cbt_cn").requests(item, ""), (' "s', " 'it"), strict=True):
        assert (request.context, request.continuation) == ("A he left", end)


WSC = (
    "The city councilmen refused the demonstrators a permit because [MASK]  feared violence. \n[MASK]\n"
    "The city councilmen ,The demonstrators \nThe city councilmen \n"
)


def test_winograd_replaces_the_pronoun_and_scores_in_full_and_in_part(tmp_path):
    (item,) = task("winograd").items(write(tmp_path, "wsc273.txt", WSC))
    start = "The city councilmen refused the demonstrators a permit because the"
    full, other, part, other_part = task("winograd").requests(item, "")
    assert full == LogLikelihood("", f"{start} city councilmen feared violence.")
    assert other == LogLikelihood("", f"{start} demonstrators feared violence.")
    assert part == LogLikelihood(f"{start} city councilmen", " feared violence.")
    assert other_part == LogLikelihood(f"{start} demonstrators", " feared violence.")
    answers = [likely(-3.0), likely(-2.0), likely(-1.0), likely(-2.0)]
    assert task("winograd").score(item, answers) == {"full": False, "partial": True}


def test_definite_pronouns_are_replaced_as_words_and_scored_by_the_mean_of_the_rest(tmp_path):
    text = "The bee landed on the kit because it had pollen.\nit\nThe bee,the kit\nThe bee\n"
    (item,) = task("dprd_zero_shot").items(write(tmp_path, "test.c.txt", text))
    (bee, kit) = task("dprd_zero_shot").requests(item, "")
    assert bee == LogLikelihood("The bee landed on the kit because the bee", " had pollen.")
    assert kit == LogLikelihood("The bee landed on the kit because the kit", " had pollen.")
    assert task("dprd_zero_shot").score(item, [likely(-4.0, 4), likely(-3.0, 2)]) == {"correct": True}


def test_colas_threshold_comes_from_the_training_sentences():
    """Perfectly separable at -2 in training; the development part then has one error in four."""
    train = [(-1.0, 1), (-1.5, 1), (-2.5, 0), (-3.0, 0)] * 5
    rows = [{"score": s, "label": y, "train": True} for s, y in train]
    rows += [{"score": s, "label": y, "train": False} for s, y in ((-1.0, 1), (-4.0, 0), (-1.1, 0), (-0.5, 1))]
    expected = 100 * np.corrcoef([1, 0, 1, 1], [1, 0, 0, 1])[0, 1]
    assert math.isclose(gpt1_heuristics.thresholded(stack(rows)), expected)


def test_sst2_asks_whether_it_is_very_positive_or_very_negative(tmp_path):
    header = "sentence\tlabel\n"
    for name in ("train", "dev", "test"):
        files = write(tmp_path, f"sst2/{name}.tsv", f"{header}a fine film \t1\na bore \t0\n")
    items = task("sst2_zero_shot").items(files)
    assert task("sst2_zero_shot").requests(items[0], "") == [Choice("a fine film very", (" negative", " positive"))]
    assert [task("sst2_zero_shot").score(item, [(likely(-2), likely(-1))])["correct"] for item in items] == [
        True,
        False,
    ]


RACE = {
    "article": "It rained.",
    "questions": ["What fell?", "Who ran?"],
    "options": [["Rain", "Snow"]] * 2,
    "answers": ["A", "B"],
}


def test_race_is_scored_by_the_ratio_in_gpt3_and_by_the_mean_in_gpt1(tmp_path):
    files = write(tmp_path, "RACE/test/middle/1.txt", json.dumps(RACE))
    first, second = task("race").items(files)
    question = Choice("It rained.\n\nQ: What fell?\n\nA:", (" Rain", " Snow"))
    assert task("race").requests(first, "") == [question, Choice("A:", (" Rain", " Snow"))]
    assert task("race_zero_shot").requests(first, "") == [question]
    answers = [(likely(-4.0, 4), likely(-3.0, 1)), (likely(-1.0), likely(-2.0))]
    assert task("race").score(second, answers) == {"correct": True}  # -3 against -1
    assert task("race_zero_shot").score(second, answers[:1]) == {"correct": False}


def test_rte_is_true_or_false(tmp_path):
    rows = "index\tsentence1\tsentence2\tlabel\n0\tIt rained.\tWater fell.\tentailment\n1\tA.\tB.\tnot_entailment\n"
    for name in ("train", "dev"):
        files = write(tmp_path, f"rte/{name}.tsv", rows)
    (first, second) = task("rte").items(files)
    (asked,) = task("rte").requests(first, "")
    assert asked == Choice("It rained.\nquestion: Water fell. True or False?\nanswer:", (" True", " False"))
    assert (first["answer"], second["answer"]) == (0, 1)


def test_other_choices_are_read_as_distributed(tmp_path):
    story = '"id","One.","Two.","Three.","Four.","Good, end.","Bad end.",1\n'
    files = write(tmp_path, "cloze_test_test__spring2016.csv", "header\n" + story)
    (item,) = task("story_cloze").items(files)
    assert item == {"context": "One. Two. Three. Four.", "choices": [" Good, end.", " Bad end."], "answer": 0}
    write(tmp_path, "hellaswag_val.jsonl", json.dumps({"ctx": "He", "endings": ["ran", "sat"], "label": 1}))
    assert task("hellaswag").items(files) == [{"context": "He", "choices": [" ran", " sat"], "answer": 1}]
    question = {"stem": "Why?", "choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}]}
    write(tmp_path, "ARC-Challenge-Test.jsonl", json.dumps({"question": question, "answerKey": "B"}))
    assert task("arc_challenge").items(files)[0]["answer"] == 1


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


def test_tasks_are_listed_without_jax():
    import subprocess

    code = "import sys; from gpt_jax.evaluation.task import families; families(); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
