"""The plays' own tasks: no play in two splits, nothing but the text tells classes apart, the same draw every time."""

import re
from collections import Counter
from functools import cache

import pytest

from gpt_jax.data import scenes
from gpt_jax.data.plays import plain_text, play_files
from gpt_jax.data.tasks import load_task, plays
from gpt_jax.disk import digest_of

DIGESTS = {  # of all examples
    "play_kind": "11e142677647c301",
    "play_follows": "fea7a84efb049da9",
    "play_speaker": "f2746101aec9decb",
    "play_next": "0dae33febddf0f00",
    "play_order": "f0a6aa066278148b",
}


@pytest.fixture(scope="module")
def tasks():
    return {name: load_task(name) for name in plays.BUILDERS}


@cache
def text_of(name: str) -> str:
    """The words of a play, as its file has them, line breaks and directions aside."""
    path = next(path for path in play_files() if path.stem == name)
    return " ".join(re.sub(r"\[[^]]*\]", "", plain_text(path.read_text(encoding="utf-8"))).split())


def test_every_play_is_in_one_split_and_every_kind_in_each(tasks):
    for _, splits in tasks.values():
        plays_of = {split: {example.group for example in examples} for split, examples in splits.items()}
        assert sum(map(len, plays_of.values())) == len(set().union(*plays_of.values()))
    _, splits = tasks["play_kind"]
    assert {split: len({e.label for e in own}) for split, own in splits.items()} == {
        "train": 3,
        "validation": 3,
        "test": 3,
        "ood_kinds": 2,
    }
    trained = {path.stem for path in scenes.training_plays()}
    assert trained.isdisjoint({e.group for _, s in tasks.values() for k, own in s.items() if k != "train" for e in own})


def test_labels_are_of_equal_number_and_right_answers_in_every_place(tasks):
    for task, splits in tasks.values():
        for split, examples in splits.items():
            counts = Counter(example.label for example in examples)
            assert len(set(counts.values())) == 1 and len(examples) >= 300, (task.name, split)
    assert {e.label for e in tasks["play_next"][1]["test"]} == {0, 1, 2, 3}


def test_a_next_line_follows_in_the_play_and_the_others_do_not(tasks):
    for example in tasks["play_next"][1]["test"][:40]:
        (context, question, *answers), text = example.texts, text_of(example.group)
        follows = [f"{context} {answer}" in text for answer in answers]
        assert question == "" and [n for n, does in enumerate(follows) if does] == [example.label]
        assert all(answer in text for answer in answers) and len(set(answers)) == plays.ANSWERS
    for example in tasks["play_follows"][1]["test"][:40]:
        assert (" ".join(example.texts) in text_of(example.group)) == bool(example.label)


def test_words_of_the_second_line_are_in_the_poets_order_or_moved(tasks):
    def lines_of(play: str) -> set[tuple[str, ...]]:
        own = [scene for scene in scenes.scenes()["test"] if scene.play == play]
        return {tuple(sorted(line.split())) for scene in own for speech in scene.speeches for line in speech.lines}

    for example in tasks["play_order"][1]["test"][:60]:
        words, known = example.texts[0].split(), lines_of(example.group)
        assert (example.texts[0] in text_of(example.group)) == bool(example.label)
        cuts = [n for n in range(1, len(words)) if tuple(sorted(words[n:])) in known]
        assert any(" ".join(words[:n]) in text_of(example.group) for n in cuts)


def test_two_speeches_are_one_speakers_or_two(tasks):
    said = {
        (scene.play, scene.number, " ".join(speech.lines)): speech.speaker
        for scene in scenes.scenes()["test"]
        for speech in scene.speeches
    }
    for example in tasks["play_speaker"][1]["test"][:100]:
        number = int(example.id.split(".")[1])
        one, two = (said[example.group, number, text] for text in example.texts)
        assert (one == two) == bool(example.label)


def test_speeches_are_read_without_names_and_directions():
    told = "**KING**  \nMy lord,  \n_Aside to him_\n\n_Exit Page_\n\ncome hither.\n\n**FOOL**\nAy.\n"
    king, fool = scenes._speeches(told)
    assert (king.speaker, king.lines) == ("KING", ("My lord,", "come hither."))
    assert (fool.speaker, fool.lines) == ("FOOL", ("Ay.",))


def test_the_draw_is_the_same_every_time(tasks):
    for name, (_, splits) in tasks.items():
        rows = {split: [[*e.texts, e.label, e.group] for e in examples] for split, examples in splits.items()}
        assert digest_of(rows) == DIGESTS[name]
    assert plays.play_next()["train"] == tasks["play_next"][1]["train"]
