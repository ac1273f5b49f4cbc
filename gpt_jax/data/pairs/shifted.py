"""Pairs of distributions with one label space: train on one, test on it (IID) and on others (OOD).

This follows Hendrycks et al. (2020, section 2). A pair is a labelled task (data/tasks/) with more test splits. "test"
is of the same distribution, and "ood_NAME" of another one. Every pair is read from its public files below one folder.

| pair | trained on | tested on |
|---|---|---|
| `sst2_domains` | SST-2: sentences of film reviews | pros and cons of products, product reviews, tweets, editorials |
| `cola_sources` | CoLA's in-domain sources | its out-of-domain sources |
| `stsb_images`, `stsb_msrvid` | captions of one source | captions of the other |
| `stsb_headlines`, `stsb_msrpar` | news sentences of one source | of the other |

VADER's film snippets and `sentence_polarity` hold SST's own sentences. They are no other distribution, and are left out
of `sst2_domains`. An example of a test set whose texts stand in the training split, white space aside, is left out of
the test set, so a set may be smaller than its file. How many are left out is counted.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gpt_jax.data.public_files import Files
from gpt_jax.data.tasks import Example, LabelledTask, Splits, get_task, load_task
from gpt_jax.errors import unknown

OOD = "ood_"  # what the name of an OOD split begins with
EACH = 1000  # examples of each class at most in an OOD test set of sentiment
NEUTRAL = 1.0  # VADER's mean ratings, from -4 to 4, nearer to 0 than this are left out: raters do not agree on a side


@dataclass(frozen=True)
class ShiftedPair:
    """`task` is what is predicted; `read` gives its splits, "train", "validation", "test" and "ood_NAME"s."""

    name: str
    task: str
    read: Callable[[Files], Splits]


def pair_names() -> tuple[str, ...]:
    """The names of all pairs."""
    return tuple(pair.name for pair in PAIRS)


def load_pair(name: str, files: Files) -> tuple[LabelledTask, Splits, dict[str, int]]:
    """The task of a pair, its splits, and how many copies of training examples each test split has lost.

    Raises `InputError`: unknown pair, files that are missing.
    """
    pair = next((pair for pair in PAIRS if pair.name == name), None)
    if pair is None:
        raise unknown("pair", name, pair_names())
    whole = pair.read(files)
    splits = without_copies(whole)
    copies = {split: len(rows) - len(splits[split]) for split, rows in whole.items() if is_test(split)}
    return replace(get_task(pair.task), name=name), {split: rows for split, rows in splits.items() if rows}, copies


def is_test(split: str) -> bool:
    """Whether a split is tested on, in distribution or out of it."""
    return split == "test" or split.startswith(OOD)


def without_copies(splits: Splits) -> Splits:
    """`splits` where no example of "test" or an OOD split has the texts of a training example, white space aside."""
    seen = {_content(example) for example in splits["train"]}
    return {
        split: [example for example in rows if not is_test(split) or _content(example) not in seen]
        for split, rows in splits.items()
    }


def _content(example: Example) -> tuple[str, ...]:
    return tuple(" ".join(text.split()) for text in example.texts)


def sentiment(files: Files) -> Splits:
    """SST-2, and the same two classes elsewhere, as many of the one as of the other, as in SST-2's test set: what
    changes is the language, not how often people praise."""
    elsewhere = {
        "pros_cons": pros_cons(files),
        "products": products(files),
        "tweets": rated(files, "tweets_GroundTruth.txt"),
        "editorials": rated(files, "nytEditorialSnippets_GroundTruth.txt"),
    }
    return {**_splits(files, "sst2"), **{f"{OOD}{name}": balanced(rows) for name, rows in elsewhere.items()}}


def balanced(examples: list[Example], each: int = EACH) -> list[Example]:
    """An equal number of both classes, at most `each`. The draw does not depend on the run's seed."""
    classes = [[e for e in examples if e.label == label] for label in (0, 1)]
    count = min(each, *map(len, classes))
    rng = np.random.default_rng(0)
    return [own[n] for own in classes for n in sorted(rng.permutation(len(own))[:count])]


def pros_cons(files: Files) -> list[Example]:
    """`pros_cons.zip` (Ganapathibhotla & Liu 2008): what people liked and disliked, in tags."""
    found = []
    for name, text in files.members(".txt", "pros_cons.zip", "pros_cons"):
        for n, (tag, line) in enumerate(re.findall(r"<(Pros|Cons)>(.*?)</\1>", text)):
            found.append(Example((_clean(line),), int(tag == "Pros"), f"{name}:{n}", "pros_cons"))
    return [example for example in found if example.texts[0]]


def products(files: Files) -> list[Example]:
    """`product_reviews_1.zip` (Hu & Liu 2004): sentences after ##, with the features that they praise or blame,
    `picture[+2], size[-1]`; those that do both, or neither, are left out."""
    found = []
    for name, text in files.members(".txt", "product_reviews_1.zip", "product_reviews_1"):
        for n, line in enumerate(text.split("\n")):
            marks, divider, sentence = line.partition("##")
            signs = set(re.findall(r"\[([+-])\d\]", marks))
            if divider and len(signs) == 1 and _clean(sentence):
                found.append(Example((_clean(sentence),), int(signs == {"+"}), f"{name}:{n}", "products"))
    return found


def rated(files: Files, name: str) -> list[Example]:
    """VADER's (Hutto & Gilbert 2014) number, mean rating of twenty raters and text, a line each; see `NEUTRAL`."""
    rows = [line.split("\t") for line in files.lines(name)]
    return [
        Example((_clean(row[2]),), int(float(row[1]) > 0), row[0], name.partition("_")[0])
        for row in rows
        if len(row) == 3 and abs(float(row[1])) >= NEUTRAL
    ]


def acceptability(files: Files) -> Splits:
    """CoLA: the test set of its own sources is the in-domain development set; a tenth of the training set validates."""
    splits = _splits(files, "cola")
    train = splits["train"]
    return {
        "train": [e for n, e in enumerate(train) if n % 10],
        "validation": train[::10],
        "test": splits["validation"],
        f"{OOD}sources": splits["test"],
    }


def similarity(files: Files, source: str, other: str) -> Splits:
    """STS benchmark: one of its sources, and another of the same genre. The other's training rows are tested on too,
    since nothing is trained on them."""
    splits = _splits(files, "stsb")

    def of(name: str, split: str) -> list[Example]:
        return [e for e in splits[split] if e.group.endswith(f"/{name}")]

    own = {split: of(source, split) for split in ("train", "validation", "test")}
    return {**own, f"{OOD}{other.lower()}": [e for split in own for e in of(other, split)]}


def _splits(files: Files, name: str) -> Splits:
    return load_task(name, files.find(name))[1]


def _clean(text: str) -> str:
    """Entities as characters, white space as single spaces."""
    return " ".join(html.unescape(text).split())


PAIRS: tuple[ShiftedPair, ...] = (
    ShiftedPair("sst2_domains", "sst2", sentiment),
    ShiftedPair("cola_sources", "cola", acceptability),
    *(
        ShiftedPair(f"stsb_{a.lower()}", "stsb", lambda files, a=a, b=b: similarity(files, a, b))
        for one, two in (("images", "MSRvid"), ("headlines", "MSRpar"))
        for a, b in ((one, two), (two, one))
    ),
)
