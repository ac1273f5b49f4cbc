"""Tasks of the probability of words: LAMBADA, CBT, BLiMP, pronouns, and perplexity per word and character."""

import json
import math
import zipfile

from gpt_jax.data.public_files import Files
from gpt_jax.evaluation.inference.requests import Choice, LogLikelihood, Rolling
from tests.evaluation.task_files import likely, stack, task, write

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
