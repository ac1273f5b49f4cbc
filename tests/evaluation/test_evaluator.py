"""Few-shot contexts, what overflows, what is cached, and answers that do not depend on how they are batched."""

import dataclasses

import numpy as np
import pytest

from gpt_jax import InputError
from gpt_jax.data.public_files import Files
from gpt_jax.evaluation import evaluator
from gpt_jax.evaluation.asking import Options, Overflow, ask, fitting_shots
from gpt_jax.evaluation.evaluator import evaluate
from gpt_jax.evaluation.forms import Rule, choice_task, completion_task, pick
from gpt_jax.evaluation.inference.requests import Choice, Generate, Likelihood, LogLikelihood, Rolling
from gpt_jax.evaluation.metrics import mean
from gpt_jax.evaluation.task import Task
from tests.evaluation.models import TINY, log_probs, text_model

ITEMS = [{"context": f"{n} plus 1 is", "completion": f" {n + 1}"} for n in range(12)]
WORDS = ("oak", "elm", "fir", "ash", "yew", "box")
CHOICES = [
    {"context": f"item {n}:", "choices": [f" {WORDS[n % 6]}", f" {WORDS[(n + 2) % 6]}s"], "answer": n % 2}
    for n in range(10)
]


def completions(**how):
    return completion_task("sums", "", "", lambda files: ITEMS, max_tokens=4, delimiter="\n", **how)


def choosing(by: Rule = "mean"):
    return choice_task("trees", "", "", lambda files: CHOICES, by=by, chance=50.0, delimiter="\n")


def contexts(task, shots, seed=0, overflow: Overflow = "error", model=None):
    numbers = list(range(len(ITEMS)))
    options = Options(seed=seed, overflow=overflow)
    asked, *_ = ask(model or text_model(), task, ITEMS, numbers, ITEMS, shots, options)
    return [part[0].context for part in asked]  # type: ignore[union-attr]


def test_examples_are_drawn_for_each_item_by_the_seed_and_never_are_the_item():
    drawn = contexts(completions(), 3)
    for item, context in zip(ITEMS, drawn, strict=True):
        *examples, last = context.split("\n")
        assert last == item["context"] and len(set(examples)) == 3
        assert all(example in [i["context"] + i["completion"] for i in ITEMS if i != item] for example in examples)
    assert len({context.split("\n")[0] for context in drawn}) > 3
    assert drawn == contexts(completions(), 3) != contexts(completions(), 3, seed=1)


def test_more_examples_begin_with_the_same_ones():
    for few, more in zip(contexts(completions(), 2), contexts(completions(), 4), strict=True):
        assert few.split("\n")[:2] == more.split("\n")[:2]


def test_more_examples_than_there_are_is_an_error():
    with pytest.raises(InputError, match="12 is not allowed: there are 11 other"):
        contexts(completions(), 12)


def test_a_context_that_overflows_says_by_how_much():
    """Seven examples of at most 14 bytes and the delimiters, the question of 11 and 4 new tokens, in 96."""
    over = len(contexts(completions(), 7, model=text_model(dataclasses.replace(TINY, context_length=500)))[0]) + 4 - 96
    with pytest.raises(InputError, match=f"item 0 with 7 examples is {over} tokens longer than the context of 96"):
        contexts(completions(), 7)


def test_dropping_leaves_the_nearest_examples_that_fit():
    whole = contexts(completions(), 9, model=text_model(dataclasses.replace(TINY, context_length=500)))
    for long, kept in zip(whole, contexts(completions(), 9, overflow="drop"), strict=True):
        assert long.endswith(kept) and len(kept) + 4 <= 96
        dropped = long[: -len(kept)].rstrip("\n").split("\n")[-1]
        assert len(kept) + len(dropped) + 1 + 4 > 96


def test_fit_is_the_most_examples_that_every_item_has_room_for():
    most = fitting_shots(text_model(), completions(), Files(), Options())
    contexts(completions(), most)
    with pytest.raises(InputError, match="longer than the context"):
        contexts(completions(), most + 1)


def test_fit_counts_a_pool_of_its_own_whole():
    task = completions(pool=lambda files: [{"context": "a", "completion": str(n)} for n in range(3)])
    assert fitting_shots(text_model(), task, Files(), Options()) == 3


def test_fit_is_none_where_the_text_itself_is_truncated():
    task = dataclasses.replace(completions(), items=lambda files: [*ITEMS, {"context": "x" * 200, "completion": " 1"}])
    assert fitting_shots(text_model(), task, Files(), Options(overflow="truncate")) == 0
    assert evaluate(text_model(), task, Files(), "fit", Options(overflow="truncate")).shots == 0
    with pytest.raises(InputError, match="item 12 with 0 examples is 108 tokens longer"):
        fitting_shots(text_model(), task, Files(), Options())


def test_how_many_examples_were_left_is_recorded():
    outcome = evaluate(text_model(), completions(), Files(), 9, Options(overflow="drop"))
    kept = [record["shots"] for record in outcome.records]
    assert kept == [r["requests"][0]["context"].count("\n") for r in outcome.records] and max(kept) < 9
    assert outcome.shots == 9 and outcome.shown == np.mean(kept)


def test_texts_drawn_by_chance_are_cached_by_how_they_were_batched(tmp_path, monkeypatch):
    task = dataclasses.replace(
        completions(), requests=lambda item, shown: [Generate(item["context"], 4, temperature=1.0)]
    )
    model, asked = text_model(digest="one"), []
    answer = evaluator.answer
    monkeypatch.setattr(evaluator, "answer", lambda *a: asked.append(1) or answer(*a))
    for batch_tokens in (8192, 64, 64):
        evaluate(model, task, Files(), 0, Options(batch_tokens=batch_tokens), cache=tmp_path)
    assert len(asked) == 2


def test_completions_are_picked_by_sum_mean_or_ratio():
    options = [Likelihood(-6.0, 2, False, False), Likelihood(-8.0, 4, False, False), Likelihood(-9.0, 4, False, False)]
    alone = [Likelihood(-5.0, 2, False, False), Likelihood(-7.5, 4, False, False), Likelihood(-12.0, 4, False, False)]
    assert [pick(options, alone, by) for by in ("sum", "mean", "ratio")] == [0, 1, 2]  # type: ignore[arg-type]


@pytest.mark.parametrize("by", ["sum", "mean", "ratio"])
def test_a_choice_is_scored_as_its_definition_says(by):
    model = text_model()

    def value(context, completion):
        tokens = list((context + completion).encode())
        table = log_probs(model, tokens)[len(context) - 1 :]
        own = table[np.arange(len(completion)), list(completion.encode())]
        return own.mean() if by == "mean" else own.sum()

    right = 0
    for item in CHOICES:
        values = [value(item["context"], c) - (value("Answer:", c) if by == "ratio" else 0.0) for c in item["choices"]]
        right += int(np.argmax(values) == item["answer"])
    outcome = evaluate(model, choosing(by), Files())
    assert outcome.estimates[0][1].value == 100 * right / len(CHOICES)


def test_answers_do_not_depend_on_batches_or_shared_prefixes():
    task = Task(
        "mixed",
        "",
        "",
        lambda files: ITEMS[:4],
        lambda item, shown: [
            LogLikelihood(shown + item["context"], item["completion"]),
            Rolling(item["context"] * 12),
            Choice(shown + item["context"], (" 1", " 2", " three")),
            Generate(shown + item["context"], 5, beams=2),
            Generate(shown + item["context"], 5, until=("\n",)),
        ],
        lambda item, answers: {"x": 1},
        (mean("x"),),
        example=lambda item: item["context"] + item["completion"],
    )
    ways = [Options(), Options(batch_tokens=1, share=False)]
    together, alone = [evaluate(text_model(), task, Files(), 3, how).records for how in ways]
    for a, b in zip(together, alone, strict=True):
        for ours, theirs in zip(a["answers"], b["answers"], strict=True):
            if isinstance(ours, str):
                assert ours == theirs
            else:
                np.testing.assert_allclose(np.ravel(np.array(ours)), np.ravel(np.array(theirs)), atol=1e-4)


def test_a_repeated_question_is_answered_from_the_cache_and_another_model_is_asked(tmp_path, monkeypatch):
    model, asked = text_model(digest="one"), []
    answer = evaluator.answer
    monkeypatch.setattr(evaluator, "answer", lambda *a: asked.append(1) or answer(*a))
    first = evaluate(model, choosing(), Files(), 1, cache=tmp_path)
    again = evaluate(model, choosing(), Files(), 1, cache=tmp_path)
    assert len(asked) == 1 and again.records == first.records
    evaluate(model, choosing(), Files(), 2, cache=tmp_path)
    evaluate(model, choosing(), Files(), 1, Options(seed=1), cache=tmp_path)
    evaluate(text_model(digest="two"), choosing(), Files(), 1, cache=tmp_path)
    evaluate(text_model(), choosing(), Files(), 1, cache=tmp_path)
    assert len(asked) == 5


def test_a_damaged_cache_file_is_answered_anew(tmp_path):
    model = text_model(digest="one")
    first = evaluate(model, choosing(), Files(), cache=tmp_path)
    for path in tmp_path.iterdir():
        path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    assert evaluate(model, choosing(), Files(), cache=tmp_path).records == first.records


@pytest.mark.parametrize("content", ["[" * 100_000, "[" + "9" * 5000 + "]", "\0" * 99, "{}", "[1]"])
def test_a_cache_file_of_anything_else_is_answered_again(tmp_path, content):
    model = text_model(digest="one")
    first = evaluate(model, choosing(), Files(), cache=tmp_path)
    for path in tmp_path.iterdir():
        path.write_text(content, encoding="utf-8")
    assert evaluate(model, choosing(), Files(), cache=tmp_path).records == first.records


def test_scores_are_not_lost_where_the_cache_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    kept = evaluate(text_model(digest="one"), choosing(), Files(), cache=tmp_path / "cache")
    assert evaluate(text_model(digest="one"), choosing(), Files(), cache=tmp_path / "file").records == kept.records


def test_a_limit_takes_that_many_items_at_random_by_the_seed():
    items = lambda seed: [  # noqa: E731
        record["item"] for record in evaluate(text_model(), choosing(), Files(), 0, Options(seed, limit=4)).records
    ]
    assert len(items(0)) == 4 and items(0) == items(0) != items(1)


def test_few_shots_of_a_zero_shot_task_are_refused():
    with pytest.raises(InputError, match="zero-shot task"):
        evaluate(text_model(), dataclasses.replace(choosing(), example=None), Files(), 1)


def test_progress_ends_at_the_total():
    seen = []
    evaluate(text_model(), completions(), Files(), 1, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 0 and seen == sorted(seen)
