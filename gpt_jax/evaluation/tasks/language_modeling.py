"""Perplexity on language-modelling corpora, per canonical unit: GPT-2, section 3.1 and table 3.

The log-probability of running text is divided by the number of units of the corpus as distributed. A unit is a word
(the end of a line counts as one), a character, or a byte. Running text comes from invertible de-tokenisers
(detokenize.py). GPT-2 does not say how it cut long texts into windows. Here `--stride` says it, and the whole context
is the default. N counts windows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from gpt_jax.data.public_files import Files
from gpt_jax.evaluation.detokenize import PENN, WIKITEXT, Style, detokenize
from gpt_jax.evaluation.inference.requests import Answer, Request, Rolling, choices
from gpt_jax.evaluation.metrics import bits, perplexity
from gpt_jax.evaluation.task import Item, Row, Task

TEST_CHARACTERS = 5_000_000  # the last of 100 million: the usual test part of enwik8 and text8


def document(lines: list[str], style: Style) -> Item:
    """Some lines of a tokenised corpus as one text, with the words it stands for."""
    text = "".join(f"{detokenize(line, style)}\n" for line in lines)
    return {"text": text, "units": sum(len(line.split()) + 1 for line in lines)}


def wikitext(files: Files, names: tuple[str, ...]) -> list[Item]:
    """The articles: a heading of the first level, ` = Title = `, starts one."""
    lines = [line[1:-1] if line.startswith(" ") else line for line in files.lines(*names)]
    starts = [n for n, line in enumerate(lines) if line.startswith("= ") and not line.startswith("= =")]
    bounds = sorted({0, *starts, len(lines)})
    return [document(lines[a:b], WIKITEXT) for a, b in pairwise(bounds)]


def penn(files: Files) -> list[Item]:
    """The whole test set as one text."""
    return [document([line.strip() for line in files.lines("ptb.test.txt", "ptb/test.txt")], PENN)]


def billion_words(files: Files) -> list[Item]:
    """Sentences, each a text of its own: the corpus is shuffled."""
    lines = files.lines("news.en.heldout-00000-of-00050", "lm1b.test.txt")
    return [document([line.strip()], PENN) for line in lines]


def last_part(files: Files, name: str, encoding: str) -> list[Item]:
    text = next(files.members(name, f"{name}.zip"))[1] if files.has(f"{name}.zip") else files.text(name)
    content = text.encode()[-TEST_CHARACTERS:].decode(errors="ignore")
    return [{"text": content, "units": len(content.encode(encoding))}]


def requests(item: Item, shown: str) -> list[Request]:
    return [Rolling(item["text"])]


def score(item: Item, answers: list[Answer]) -> list[Row]:
    """A row for each window, with its share of the units by tokens."""
    windows = choices(answers[0])
    tokens = sum(window.tokens for window in windows)
    return [{"log_prob": w.log_prob, "units": item["units"] * w.tokens / tokens} for w in windows if tokens]


def words(name: str, summary: str, items: Callable[[Files], list[Item]]) -> Task:
    metrics = (perplexity("units", "per word"), bits("units", "bits per word"))
    return Task(name, summary, "GPT-2, table 3", items, requests, score, metrics)


def characters(name: str, unit: str, encoding: str) -> Task:
    items = partial(last_part, name=name, encoding=encoding)
    return Task(
        name, "the last 5 million of 100 million", "GPT-2, table 3", items, requests, score, (bits("units", unit),)
    )


TASKS = (
    words(
        "wikitext2",
        "WikiText-2, test",
        partial(
            wikitext,
            names=("wikitext2.test.txt", "wikitext2/test.txt", "wikitext-2/wiki.test.tokens", "wiki.test.tokens"),
        ),
    ),
    words(
        "wikitext2_valid",
        "WikiText-2, validation",
        partial(
            wikitext,
            names=("wikitext2.valid.txt", "wikitext2/valid.txt", "wikitext-2/wiki.valid.tokens", "wiki.valid.tokens"),
        ),
    ),
    words("wikitext103", "WikiText-103, test", partial(wikitext, names=("wikitext-103/wiki.test.tokens",))),
    words("ptb", "Penn Treebank, test", penn),
    words("lm1b", "One Billion Words, test", billion_words),
    characters("enwik8", "bits per byte", "utf-8"),
    characters("text8", "bits per character", "utf-8"),
)
