"""Tasks of choices between answers: what is asked, by which score an answer is chosen, and GPT-1's heuristics."""

import json
import math

import numpy as np

from gpt_jax.evaluation.inference.requests import Choice
from gpt_jax.evaluation.tasks import gpt1_heuristics
from tests.evaluation.task_files import likely, stack, task, write


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
