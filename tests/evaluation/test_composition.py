"""Pairs for compositional generalisation: answers mean what commands say, and what is tested on is never trained on."""

import itertools
from typing import Any

import numpy as np
import pytest

from experiments.experiment import load
from gpt_jax import InputError
from gpt_jax.config import DataConfig
from gpt_jax.data.pairs import composition
from gpt_jax.data.pairs.composition import WIDTH, get_pair, held_out, pair_names
from gpt_jax.data.pipeline import Windows
from gpt_jax.data.prepare import prepare
from gpt_jax.data.public_files import Files
from gpt_jax.data.sources import COMPOSITION, open_source
from gpt_jax.evaluation.composition import losses, tasks
from gpt_jax.evaluation.evaluator import evaluate
from gpt_jax.evaluation.forms import completion_task
from gpt_jax.evaluation.inference.encoding import encode, excess
from gpt_jax.evaluation.inference.requests import Generate
from gpt_jax.generation import generate
from tests.evaluation.models import text_model

# As distributed.
SCAN = (
    "IN: jump OUT: I_JUMP",
    "IN: turn left OUT: I_TURN_LEFT",
    "IN: look thrice and walk OUT: I_LOOK I_LOOK I_LOOK I_WALK",
    "IN: walk right thrice after turn opposite left OUT: I_TURN_LEFT I_TURN_LEFT I_TURN_RIGHT I_WALK I_TURN_RIGHT "
    "I_WALK I_TURN_RIGHT I_WALK",
    "IN: run around right OUT: I_TURN_RIGHT I_RUN I_TURN_RIGHT I_RUN I_TURN_RIGHT I_RUN I_TURN_RIGHT I_RUN",
    "IN: look opposite right twice OUT: I_TURN_RIGHT I_TURN_RIGHT I_LOOK I_TURN_RIGHT I_TURN_RIGHT I_LOOK",
    "IN: turn around left OUT: I_TURN_LEFT I_TURN_LEFT I_TURN_LEFT I_TURN_LEFT",
)


def meaning(command):
    """SCAN's interpretation function (Lake & Baroni 2018, supplement), as actions in a list."""
    for word, swap in ((" and ", False), (" after ", True)):
        if word in command:
            first, second = map(meaning, command.split(word))
            return second + first if swap else first + second
    for word, times in (("twice", 2), ("thrice", 3)):
        if command.endswith(f" {word}"):
            return times * meaning(command.removesuffix(f" {word}"))
    verb, *rest = command.split()
    act = [] if verb == "turn" else [f"I_{verb.upper()}"]
    if not rest:
        return act
    turn = f"I_TURN_{rest[-1].upper()}"
    return {1: [turn, *act], "opposite": [turn, turn, *act], "around": 4 * [turn, *act]}[
        1 if len(rest) == 1 else rest[0]
    ]


def written(actions):
    return " ".join(action.replace("I_TURN_", "").replace("I_", "") for action in actions)


@pytest.fixture
def root(tmp_path):
    """Files as SCAN's, by the interpreter: "jump" is 30 times alone in the training file, otherwise it is tested."""
    verbs = ["walk", "look", "run", "jump"]
    parts = verbs + [f"{v} {d}" for v in [*verbs, "turn"] for d in ("left", "right", "around left", "opposite right")]
    commands = parts + [f"{a} {c} {b}" for a, b in itertools.product(parts, parts) for c in ("and", "after")]
    line = lambda command: f"IN: {command} OUT: {' '.join(meaning(command))}"  # noqa: E731
    without = [line(c) for c in commands if "jump" not in c]
    new = [line(c) for c in commands if "jump" in c and c != "jump"]
    (tmp_path / "tasks_train_addprim_jump.txt").write_text(
        "\n".join(without + 30 * [line("jump")]) + "\n", encoding="utf-8"
    )
    (tmp_path / "tasks_test_addprim_jump.txt").write_text("\n".join(new) + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(composition, "DRAWS", 400)
    monkeypatch.setattr(composition, "TESTED", 50)


def prepared_texts(name, root, tmp_path):
    """The text of both prepared splits, which is all that a run can see."""
    data = DataConfig(source=name, tokenizer="bytes", validation_fraction=0.1)
    corpus = prepare(data, vocab_size=257, context_length=64, data_dir=root, cache_dir=tmp_path / "cache")
    for split in ("train", "validation"):
        windows = Windows(corpus, split)
        rows = windows.read(list(range(len(windows))))
        ids = [*rows[0], *(i for row in rows[1:] for i in row[1:])]  # windows overlap by one token
        yield corpus.tokenizer.decode([i for i in ids if i >= 0])


def test_answers_are_what_an_interpreter_of_scans_grammar_gives(tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"tasks_{name}_length.txt").write_text("\n".join(SCAN) + " \n", encoding="utf-8")
    items = get_pair("scan_length").read(Files(tmp_path))["ood"]
    assert len(items) == len(SCAN)
    for line, item in zip(SCAN, items, strict=True):
        command, _, actions = line.removeprefix("IN: ").partition(" OUT: ")
        assert actions.split() == meaning(command)
        assert item == {"context": f"IN: {command} OUT:", "completion": f" {written(meaning(command))}"}


def test_every_command_of_scan_is_trained_on_or_tested_on_and_the_new_primitive_is_trained_on(root):
    splits = get_pair("scan_jump").read(Files(root))
    asked = {name: {item["context"] for item in items} for name, items in splits.items()}
    assert not asked["train"] & asked["iid"] and not asked["ood"] & (asked["train"] | asked["iid"])
    lines = (root / "tasks_train_addprim_jump.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(splits["train"]) + len(splits["iid"]) == len(lines)
    assert sum(item["context"] == "IN: jump OUT:" for item in splits["train"]) == 30
    assert 0.06 < len(splits["iid"]) / (len(lines) - 30) < 0.14
    assert splits["iid"] == get_pair("scan_jump").read(Files(root))["iid"]
    assert not any("jump" in context for context in asked["iid"])


def test_a_repeated_command_is_never_held_out(tmp_path):
    line = next(line for line in map("IN: walk {} OUT: I_WALK".format, range(99)) if held_out(line[:-7]))
    for count, kept in ((1, 1), (2, 0)):
        for name in ("train", "test"):
            (tmp_path / f"tasks_{name}_length.txt").write_text("\n".join([line] * count), encoding="utf-8")
        assert len(get_pair("scan_length").read(Files(tmp_path))["iid"]) == kept


@pytest.mark.parametrize("name", ["scan_jump", "sums"])
def test_the_prepared_text_holds_the_training_part_and_no_prompt_that_is_tested_on(name, root, tmp_path, few):
    splits = get_pair(name).read(Files(root))
    known = {item["context"] + item["completion"] for item in splits["train"]}
    seen = set()
    for text in prepared_texts(name, root, tmp_path):
        assert text.startswith("<|endoftext|>")
        *lines, cut = text.replace("<|endoftext|>", "").split("\n")  # the end of the last window cuts a line
        assert set(lines) <= known and any(line.startswith(cut) for line in known)
        seen |= set(lines)
        tested = [item["context"] for split, items in splits.items() if split != "train" for item in items]
        assert len(tested) > 100 and not any(f"\n{prompt}" in text or f">{prompt}" in text for prompt in tested)
    assert len(seen) > 0.95 * len(known)


def operands(item):
    """The numbers of a sum, without the zeros in front."""
    return [text.lstrip("0") or "0" for text in item["context"].removesuffix("=").split("+")]


def test_sums_are_right_and_of_the_digits_they_say(few):
    splits = get_pair("sums").read(Files())
    assert list(splits) == ["train", "iid", "ood_4", "ood_5", "ood_6"]
    for split, items in splits.items():
        assert len({item["context"] for item in items}) == len(items) >= 50
        digits = []
        for item in items:
            a, b = operands(item)
            assert int(item["completion"][::-1]) == int(a) + int(b)
            assert len(item["context"] + item["completion"] + "\n") == WIDTH
            digits.append(max(len(a), len(b)))
        assert set(digits) == {int(split[-1])} if split.startswith("ood") else {2, 3} <= set(digits) <= {1, 2, 3}


def test_two_numbers_that_are_tested_on_are_in_no_order_trained_on(few):
    splits = get_pair("sums").read(Files())
    pairs = {name: {frozenset(operands(item)) for item in splits[name]} for name in ("train", "iid")}
    assert pairs["train"] and pairs["iid"] and not pairs["train"] & pairs["iid"]


def test_a_window_of_sums_is_a_line_so_that_each_digit_has_its_place(tmp_path, few):
    e = load("composition").config("sums-small", "smoke", 0)
    corpus = prepare(e.data, vocab_size=257, context_length=e.model.context_length, cache_dir=tmp_path)
    windows = Windows(corpus, "train")
    lines = [bytes(row.tolist()).decode() for row in windows.read(list(range(len(windows))))]
    known = {item["context"] + item["completion"] for item in get_pair("sums").read(Files())["train"]}
    assert len(lines) > 100 and all(line[-2] == "\n" and line[:-2] in known for line in lines)


def test_an_item_is_right_exactly_where_greedy_decoding_writes_the_whole_answer():
    model = text_model()
    contexts = [f"IN: walk {n} OUT:" for n in range(6)]
    prompts = [model.tokenizer.encode(context) for context in contexts]
    texts = [model.tokenizer.decode(ids) for ids in generate(model.config, model.params, prompts, 20, 0)]
    own = [text.split("\n")[0] for text in texts]
    wrong = [own[0][:-1] + "#", own[1] + " WALK", "# " + own[2]]
    items = [{"context": c, "completion": o} for c, o in zip(contexts, [*wrong, *own[3:]], strict=True)]
    task = completion_task("toy", "", "", lambda files: items, max_tokens=20, beams=1, clip=True)
    outcome = evaluate(model, task, Files())
    assert [record["scores"]["exact"] for record in outcome.records] == [False] * 3 + [True] * 3
    assert outcome.estimates[0][1].value == 50


def test_a_clipped_completion_takes_what_room_the_context_has():
    tokenizer = text_model().tokenizer
    asked = {"clipped": (40, 640, True), "whole": (40, 640, False), "short": (1, 16, True), "long": (97, 5, True)}
    requests = [Generate("a" * length, count, clip=clip) for length, count, clip in asked.values()]
    found: dict[str, Any] = dict(zip(asked, encode(tokenizer, requests, 96, 96), strict=True))
    assert (found["clipped"].request.max_tokens, excess(found["clipped"], 96)) == (56, 0)
    assert excess(found["whole"], 96) == 40 + 640 - 96
    assert found["short"].request.max_tokens == 16
    assert excess(found["long"], 96) > 0  # refused, or its examples are dropped, as without `clip`


def test_every_test_part_of_every_pair_is_a_task_with_examples_from_the_training_part(root, few):
    assert [t.name for name in pair_names() for t in tasks(name)] == [
        *(f"scan_{split}_{part}" for split in ("length", "jump", "turn_left") for part in ("iid", "ood")),
        "sums_iid",
        "sums_ood_4",
        "sums_ood_5",
        "sums_ood_6",
    ]
    task: Any = tasks("scan_jump")[1]
    item = task.items(Files(root))[0]
    assert task.pool(Files(root)) == get_pair("scan_jump").read(Files(root))["train"]
    assert task.requests(item, "")[0].beams == 1
    assert task.example(item) + task.delimiter == item["context"] + item["completion"] + "\n"


def test_the_longest_answer_of_scan_and_of_sums_fits_what_a_task_lets_a_model_write(few):
    assert len(" RIGHT" * 48 + "\n") <= get_pair("scan_length").most
    assert all(
        len(item["completion"] + "\n") == get_pair("sums").most for item in get_pair("sums").read(Files())["ood_6"]
    )


def test_a_gap_is_iid_less_the_mean_of_ood_with_intervals_that_narrow_with_more_items():
    iid, ood = [True] * 9 + [False], [[True] + 9 * [False], 10 * [False]]
    found = losses(iid, ood)
    assert found["gap"].value == pytest.approx(85) and found["relative_gap"].value == pytest.approx(85 / 90)
    assert found["gap"].low < 85 < found["gap"].high
    more = losses(iid * 100, [rows * 100 for rows in ood])
    # var of a mean: p (1 - p) / n; of OOD's, a quarter of the sum
    deviation = 100 * np.sqrt((0.09 + 0.09 / 4) / 1000)
    assert more["gap"].high - more["gap"].low == pytest.approx(2 * 1.96 * deviation, rel=0.15)
    assert np.isnan(losses([False], [[False]])["relative_gap"].value)


def test_all_right_and_then_all_wrong_is_not_surely_a_loss_of_everything():
    found = losses([True] * 20, [[False] * 20])
    limit = 100 * 0.0125 ** (1 / 20)  # of 20 right in 20, at 97.5 %
    assert found["gap"].value == 100 and found["gap"].high == 100
    assert found["gap"].low == pytest.approx(limit - (100 - limit))
    assert found["relative_gap"].low == pytest.approx(1 - (100 - limit) / limit)


def test_what_is_unknown_missing_or_damaged_is_named_in_one_line(tmp_path):
    assert pair_names() == COMPOSITION
    with pytest.raises(InputError, match=r"data.source 'scan_lenght'.*did you mean 'scan_length'"):
        open_source("scan_lenght", None, tmp_path)
    with pytest.raises(InputError, match=r"tasks_train_length\.txt"):
        open_source("scan_length", tmp_path, tmp_path)
    with pytest.raises(InputError, match=r"--data-dir: a folder that holds 'tasks_train_length.txt'"):
        open_source("scan_length", None, tmp_path)
    (tmp_path / "tasks_train_length.txt").write_text("IN: walk OUT: I_WALK\nIN: walk\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"tasks_train_length.txt: line 2: 'IN: walk' is not allowed"):
        open_source("scan_length", tmp_path, tmp_path)
    with pytest.raises(InputError, match="unknown pair 'scan'"):
        get_pair("scan")
