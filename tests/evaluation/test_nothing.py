"""What is asked about nothing has the right value, or is refused in one line."""

import dataclasses
import json
import math
from typing import Any

import pytest

from gpt_jax import InputError
from gpt_jax.data.public_files import Files
from gpt_jax.data.tokenizers import make_tokenizer
from gpt_jax.evaluation.answering import answer, cut, stop_tokens
from gpt_jax.evaluation.asking import Options
from gpt_jax.evaluation.evaluator import evaluate
from gpt_jax.evaluation.forms import choice_task
from gpt_jax.evaluation.inference.encoding import encode, scores
from gpt_jax.evaluation.inference.requests import Choice, Generate, Likelihood, LogLikelihood, Rolling
from gpt_jax.evaluation.inference.scoring import score
from gpt_jax.evaluation.task import find_tasks
from tests.evaluation.models import text_model


def ask(*requests) -> Any:
    model = text_model()
    return answer(model, requests, encode(model.tokenizer, requests, 96, 96), Options())


def test_an_empty_continuation_is_certain_and_has_no_tokens():
    nothing, blank, something = ask(
        LogLikelihood("a dog", ""), LogLikelihood("a dog ", ""), LogLikelihood("a dog", " ran")
    )
    assert (nothing.log_prob, nothing.tokens, nothing.greedy, nothing.per_token) == (0.0, 0, True, -math.inf)
    assert blank.tokens == 1 and blank.log_prob < 0  # the space is the continuation's
    assert something.tokens == 4


def test_nothing_after_nothing_and_an_empty_text_are_certain():
    single, text = ask(LogLikelihood("", ""), Rolling(""))
    assert (single.log_prob, single.tokens) == (0.0, 0) and text == ()
    assert score(text_model(), []) == []


def test_an_empty_choice_cannot_win():
    for continuations in (("", " a"), (" a", "")):
        with pytest.raises(InputError, match="choices: '' is not allowed"):
            ask(Choice("a dog", continuations))


@pytest.mark.parametrize("choices", [[], [""], [" a", ""], [" a", "  "]])
def test_an_item_without_a_choice_is_named(choices):
    task = choice_task("t", "", "", lambda files: [{"context": "x", "choices": choices, "answer": 0}], chance=50.0)
    with pytest.raises(InputError, match="t: item 0 has no choice, or a blank one"):
        evaluate(text_model(), task, Files())


def test_of_equal_choices_each_is_right():
    items = [{"context": "x", "choices": [" a", " a"], "answer": n} for n in (0, 1)]
    outcome = evaluate(text_model(), choice_task("t", "", "", lambda files: items, chance=50.0), Files())
    assert outcome.estimates[0][1].value == 100.0


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("cbt_cn", ["cat", "cat", "dog"]),
        ("race_zero_shot", [" a", " a", " b"]),
        ("dprd_zero_shot", ["Ann", "Ann"]),
    ],
)
def test_tasks_with_scores_of_their_own_find_each_of_equal_choices_right(name, choices):
    answers: list[Any] = [Likelihood(-1.0, 1, False, False)] * len(choices)
    asked: list[Any] = [tuple(answers)] if name == "race_zero_shot" else answers
    (task,) = find_tasks([name])
    right = [task.score({"choices": choices, "answer": n}, asked) for n in range(len(choices))]
    assert right == [{"correct": choice == choices[0]} for choice in choices]


@pytest.mark.parametrize(
    ("name", "file", "text"),
    [
        ("cbt_cn", "cbtest_CN_valid_2000ex.txt", "1 A .\n21 He met XXXXX .\tTom\t\tTom|\n"),
        ("winograd", "wsc273.txt", "Ann met Eve before [MASK] left.\n[MASK]\nAnn,Ann\nAnn\n"),
        ("winograd", "wsc273.txt", "Ann met Eve before [MASK] left.\n[MASK]\nAnn,\nAnn\n"),
    ],
)
def test_an_item_whose_candidates_are_empty_or_the_same_is_named(tmp_path, name, file, text):
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=file):
        find_tasks([name])[0].load(Files(tmp_path))


def test_white_space_after_a_context_has_no_token_for_gpt1_and_is_no_choice(tmp_path):
    vocabulary = json.dumps({"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "<unk>": 4})
    (tmp_path / "encoder_bpe_40000.json").write_text(vocabulary, encoding="utf-8")
    (tmp_path / "vocab_40000.bpe").write_text("#version: 0.2\n", encoding="utf-8")
    gpt1 = make_tokenizer(f"gpt1:{tmp_path}", 100, None)
    for context, continuation in (("a", " "), ("a ", "\n"), ("", " "), ("a", "")):
        (rows,) = encode(gpt1, [LogLikelihood(context, continuation)], 8, 8)
        assert isinstance(rows, tuple) and not scores(rows)
    for context, continuations in (("a", (" ", " b")), ("", ("a", "b a"))):  # the first token of a text is not scored
        with pytest.raises(InputError, match="it has no token to score"):
            encode(gpt1, [Choice(context, continuations)], 8, 8)


def test_an_empty_stop_string_ends_nothing():
    assert cut("some text", [""]) == "some text" and cut("some text", ["", " "]) == "some"
    model = text_model()
    assert stop_tokens(model, Generate("a", 4, ("",))).sum() == 1  # the end of text alone
    for beams in (1, 2):
        assert ask(Generate("a dog", 5, ("",), beams=beams)) == ask(Generate("a dog", 5, (), beams=beams))


def test_a_tokenizer_of_more_entries_than_the_model_ends_beams():
    model = text_model()
    small = dataclasses.replace(model, config=dataclasses.replace(model.config, vocab_size=300))
    assert stop_tokens(small, Generate("a", 4, ("b",))).sum() == 2


def test_a_text_of_nothing_is_one_line(tmp_path):
    (tmp_path / "ptb.test.txt").write_text("", encoding="utf-8")
    (tmp_path / "text8").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="text8: nothing is scored"):
        evaluate(text_model(), find_tasks(["text8"])[0], Files(tmp_path))


def test_a_question_without_answers_is_named(tmp_path):
    (tmp_path / "NQ-open.dev.jsonl").write_text('{"question": "who", "answer": []}\n', encoding="utf-8")
    with pytest.raises(InputError, match="item 0 has no answer"):
        find_tasks(["natural_questions"])[0].load(Files(tmp_path))
