"""Tasks of all four shapes from the built-in plays: nothing has to be fetched.

| task | shape | question |
|---|---|---|
| `play_kind` | classification | which kind of play is this passage from: comedy, history or tragedy? |
| `play_follows` | entailment | does this line come after those two, or elsewhere in the scene? |
| `play_speaker` | similarity | do the same lips say both speeches of a scene? |
| `play_next` | multiple choice | which of four lines of a scene comes after those three? |
| `play_order` | classification | are the words of these two lines in the poet's order? |

The splits are by play (data/scenes.py): train, validation and test share none, and "ood_kinds" has other kinds of play.
Names of speakers and stage directions are left out. Classes are of equal number, and right answers stand in every place
alike. Wrong lines are of the same scene and stand within a speech too, so that neither their words nor how a speech
begins tells them apart. `play_order` has the same words in both classes, so no bag of words can tell. The draw is the
same at every call.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from gpt_jax.data.scenes import KINDS, OOD, Scene, choose, scenes, shuffled
from gpt_jax.data.tasks.task import Example, Splits

SIZES = {"train": 6000, "validation": 600, "test": 1000, OOD: 1000}  # at most, of each split
WORDS = 55  # of a passage whose kind is asked
SPEECH = (6, 30)  # words of a speech whose speaker is asked
LINE = (4, 14)  # words of a line
ANSWERS = 4
TRIES = 12  # draws of wrong lines
MOVED = 5  # words within a line, of which all but one at most change their place


def play_kind() -> Splits:
    """Passages of about `WORDS` words, as many of each kind; Pericles, which has no label, is left out."""
    return _drawn("play_kind", passages)


def play_follows() -> Splits:
    """Two lines and a third: 1 if it is the next one of the speech, 0 if it is another of the scene."""
    return _drawn("play_follows", continuations)


def play_speaker() -> Splits:
    """Two speeches of a scene, not one after the other: 1 if one character says both."""
    return _drawn("play_speaker", speakers)


def play_next() -> Splits:
    """Three lines, and four that may come next."""
    return _drawn("play_next", choices)


def play_order() -> Splits:
    """Two lines: 1 as they are written, 0 with the words within the second in another order."""
    return _drawn("play_order", orders)


def passages(scene: Scene, rng: random.Random) -> Iterator[Example]:
    """A scene cut into passages, as far as whole ones go."""
    if not scene.kind:
        return
    words: list[str] = []
    for number, line in enumerate(line for speech in scene.speeches for line in speech.lines):
        words += line.split()
        if len(words) >= WORDS:
            yield _example(scene, number, (" ".join(words),), KINDS.index(scene.kind))
            words = []


def continuations(scene: Scene, rng: random.Random) -> Iterator[Example]:
    """Every second place of the scene has its own line, and the others another one."""
    for number, (before, line, wrong) in enumerate(_places(scene, rng, 2, 1)):
        label = number % 2
        yield _example(scene, number, (" ".join(before), line if label else wrong[0]), label)


def speakers(scene: Scene, rng: random.Random) -> Iterator[Example]:
    """Speeches in pairs, at most four of one speech; as many of one speaker as of two."""
    said = [
        (n, speech.speaker, text)
        for n, speech in enumerate(scene.speeches)
        if SPEECH[0] <= len((text := " ".join(speech.lines)).split()) <= SPEECH[1]
    ]
    number = 0
    for place, speaker, text in said:
        near = [other for other in said if 1 < other[0] - place <= 12]
        same = [other for other in near if other[1] == speaker]
        different = [other for other in near if other[1] != speaker]
        if same and different:
            for label, group in ((0, different), (1, same)):
                yield _example(scene, number, (text, group[choose(rng, len(group))][2]), label)
                number += 1


def choices(scene: Scene, rng: random.Random) -> Iterator[Example]:
    """The right line among `ANSWERS`, in a drawn place."""
    for number, (before, line, wrong) in enumerate(_places(scene, rng, 3, ANSWERS - 1)):
        place = choose(rng, ANSWERS)
        yield _example(scene, number, (" ".join(before), "", *wrong[:place], line, *wrong[place:]), place)


def orders(scene: Scene, rng: random.Random) -> Iterator[Example]:
    """Every second place as it is written. Words at the ends of a line, and words with punctuation, stay in place."""
    for number, (before, line, _) in enumerate(_places(scene, rng, 1, 0)):
        words = line.split()
        free = [i for i in range(1, len(words) - 1) if words[i].isalpha()]
        for place, word in zip(free, shuffled(rng, [words[i] for i in free]), strict=True):
            words[place] = word
        if len(free) >= MOVED and sum(a != b for a, b in zip(words, line.split(), strict=True)) >= MOVED - 1:
            label = number % 2
            yield _example(scene, number, (f"{before[0]} {line if label else ' '.join(words)}",), label)


BUILDERS: dict[str, Callable[[], Splits]] = {
    "play_kind": play_kind, "play_follows": play_follows, "play_speaker": play_speaker, "play_next": play_next,
    "play_order": play_order,
}  # fmt: skip


def _places(scene: Scene, rng: random.Random, before: int, wrong: int) -> Iterator[tuple[list[str], str, list[str]]]:
    """Lines within speeches: those before one, that one, and `wrong` others of the scene that are far from it.

    Consecutive places share no line. A place is passed over where few draws find no other lines.
    """
    lines = [(line, n) for speech in scene.speeches for n, line in enumerate(speech.lines)]
    fit = [LINE[0] <= len(line.split()) <= LINE[1] for line, _ in lines]
    inner = [i for i, (_, n) in enumerate(lines) if n >= before and all(fit[i - before : i + 1])]
    free = 0
    for i in inner:
        if i - before < free:
            continue
        found: list[str] = []
        for _ in range(TRIES):
            j = inner[choose(rng, len(inner))]
            if len(found) < wrong and abs(j - i) > before + 1 and lines[j][0] not in (lines[i][0], *found):
                found.append(lines[j][0])
        if len(found) == wrong:
            yield [line for line, _ in lines[i - before : i]], lines[i][0], found
            free = i + 1


def _example(scene: Scene, number: int, texts: tuple[str, ...], label: int) -> Example:
    return Example(texts, label, f"{scene.play}.{scene.number}.{number}", scene.play)


def _drawn(name: str, examples: Callable[[Scene, random.Random], Iterator[Example]]) -> Splits:
    """The examples of every split, as many of each label, in an order and a number that are always the same."""
    drawn: Splits = {}
    for split, own in scenes().items():
        rng = random.Random(f"{name} {split}")
        found = [example for scene in own for example in examples(scene, rng)]
        drawn[split] = _balanced(rng, found, SIZES[split])
    return drawn


def _balanced(rng: random.Random, examples: Sequence[Example], most: int) -> list[Example]:
    labels = sorted({example.label for example in examples if example.label is not None})
    groups = [shuffled(rng, [e for e in examples if e.label == label]) for label in labels]
    each = min(most // len(groups), *map(len, groups))
    return shuffled(rng, [example for group in groups for example in group[:each]])
