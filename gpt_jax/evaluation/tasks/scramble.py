"""GPT-3's word scrambling and manipulation (section 3.9.2): the released files, and items made by the same rules.

Words have 6 to 15 letters, or 5 to 15 for anagrams of all letters except the first and the last. These are the lengths
in the files. The paper says more than 4 and fewer than 15. 193 of the released items of `mid_word_2_anagrams` are their
own answer.
"""

from __future__ import annotations

import random
from functools import partial

from gpt_jax.data.public_files import Files
from gpt_jax.evaluation.forms import completion_task
from gpt_jax.evaluation.task import Item

NAMES = {
    "cycle_letters_in_word": "cycled letters",
    "mid_word_1_anagrams": "anagrams of all but the first and last letter",
    "mid_word_2_anagrams": "anagrams of all but the first and last two letters",
    "random_insertion_in_word": "a mark between all letters",
    "reversed_words": "reversed words",
}
COUNT, LONGEST = 10_000, 15
FREQUENT = "count_1w.txt"  # Norvig's list, a word and its count a line: the paper draws from the 10,000 most frequent


def scrambled(name: str, word: str, rng: random.Random) -> str:
    """The word as the task `name` shows it; an anagram may be the word itself, as in the released files."""
    if name == "cycle_letters_in_word":
        start = rng.randrange(1, len(word))
        return word[start:] + word[:start]
    if name == "random_insertion_in_word":
        return "".join(letter + rng.choice(" ./!") for letter in word[:-1]) + word[-1]
    if name == "reversed_words":
        return word[::-1]
    kept = 1 if name == "mid_word_1_anagrams" else 2
    middle = list(word[kept:-kept])
    rng.shuffle(middle)
    return word[:kept] + "".join(middle) + word[-kept:]


def words(files: Files, name: str) -> list[str]:
    """The most frequent words of a length to scramble; without the list, the answers of the released file."""
    shortest = 5 if name == "mid_word_1_anagrams" else 6
    if files.has(FREQUENT):
        listed = [line.split("\t")[0] for line in files.lines(FREQUENT)]
    else:
        listed = [row["completion"].strip() for row in released(files, name)]
    return [word for word in listed if shortest <= len(word) <= LONGEST][:COUNT]


def generated(files: Files, name: str, seed: int) -> list[Item]:
    rng = random.Random(f"{name} {seed}")
    return [{"context": f"\n{scrambled(name, word, rng)} =", "completion": f" {word}"} for word in words(files, name)]


def released(files: Files, name: str) -> list[Item]:
    return files.jsonl(f"{name}.jsonl", fields={"context": str, "completion": str})


TASKS = tuple(
    completion_task(
        f"{prefix}{name}",
        f"scrambled words: {what}{note}",
        "GPT-3, section 3.9.2",
        partial(read, name=name),
        max_tokens=24,
    )
    for prefix, note, read in (("", "", released), ("generated_", ", made by the rule", partial(generated, seed=0)))
    for name, what in NAMES.items()
)
