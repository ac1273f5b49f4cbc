"""What GPT-2 does when asked by a prompt alone: summaries, translation, questions (sections 3.5 to 3.8)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterator
from functools import partial
from hashlib import sha1
from typing import Any

import numpy as np

from gpt_jax.data.public_files import Files
from gpt_jax.disk import parse_json
from gpt_jax.errors import InputError
from gpt_jax.evaluation.inference.requests import Answer, Generate, Request, written
from gpt_jax.evaluation.metrics import Columns, Metric, mean
from gpt_jax.evaluation.task import Item, Row, Task

TEST_URLS = "all_test.txt"
ARTICLE_WORDS = 500  # of an article: what leaves room for 100 tokens in a context of 1,024; the paper does not say
EXTRA = "pip install 'gpt-jax[eval]'"


def first_sentences(text: str, count: int) -> str:
    """The first `count` sentences: up to . ! or ? before white space."""
    return " ".join(re.split(r"(?<=[.!?])\s+", text.strip())[:count])


def stories(files: Files) -> list[Item]:
    """CNN and Daily Mail articles as distributed: `.story` files, the summary after @highlight.

    The test set is those named by the SHA-1 of a line of `all_test.txt` (its addresses); without that list, all.
    """
    listed = {sha1(url.encode()).hexdigest() for url in files.lines(TEST_URLS)} if files.has(TEST_URLS) else None
    found = []
    for name, text in files.members(".story", "stories", "cnn_dailymail.zip"):
        if listed is not None and name.removesuffix(".story") not in listed:
            continue
        article, *highlights = [" ".join(part.split()) for part in text.split("@highlight")]
        found.append({"article": " ".join(article.split(" ")[:ARTICLE_WORDS]), "summary": "\n".join(highlights)})
    return found


def summarize(item: Item, shown: str) -> list[Request]:
    return [Generate(f"{item['article']}\nTL;DR:", max_tokens=100, temperature=1.0, top_k=2)]


def rouge(item: Item, answers: list[Answer]) -> Row:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise InputError(f"tldr needs the package rouge-score: {EXTRA}") from None
    kinds = ("rouge1", "rouge2", "rougeL")
    scores = RougeScorer(list(kinds), use_stemmer=True).score(item["summary"], first_sentences(written(answers[0]), 3))
    values = {kind: scores[kind].fmeasure for kind in kinds}
    return {**values, "average": sum(values.values()) / 3}


def pairs(files: Files, source: str, target: str, year: int) -> list[Item]:
    """Line-aligned files of WMT: newstest2014.en and newstest2014.fr."""
    ours, theirs = (files.lines(f"newstest{year}.{language}") for language in (source, target))
    if len(ours) != len(theirs):
        raise InputError(
            f"newstest{year}: {len(ours)} lines of {source} and {len(theirs)} of {target}: as many are allowed"
        )
    return [{"source": a, "target": b} for a, b in zip(ours, theirs, strict=True)]


def translate(item: Item, shown: str) -> list[Request]:
    return [Generate(f"{shown}{item['source']} =", max_tokens=100, until=("\n",))]


BLEU_COUNTS = [f"{kind}{n}" for kind in ("correct", "total") for n in range(4)] + ["system", "reference"]


def bleu_counts(item: Item, answers: list[Answer]) -> Row:
    """The counts that BLEU of a corpus is made of; the translation is the first sentence written."""
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise InputError(f"translation needs the package sacrebleu: {EXTRA}") from None
    score = BLEU(effective_order=True).sentence_score(first_sentences(written(answers[0]), 1), [item["target"]])
    return dict(zip(BLEU_COUNTS, (*score.counts, *score.totals, score.sys_len, score.ref_len), strict=True))


def corpus_bleu(columns: Columns) -> float:
    from sacrebleu.metrics.bleu import BLEU

    sums = {name: int(np.sum(columns[name])) for name in BLEU_COUNTS}
    correct, total = ([sums[f"{kind}{n}"] for n in range(4)] for kind in ("correct", "total"))
    return BLEU.compute_bleu(correct, total, sums["system"], sums["reference"], smooth_method="exp").score


def open_questions(files: Files, part: str = "dev") -> list[Item]:
    """Natural Questions without their documents: {"question": ..., "answer": [...]} a line."""
    rows = files.jsonl(*open_names(part), fields={"question": str, "answer": list})
    for number, row in enumerate(rows):
        if not row["answer"]:
            raise InputError(f"{open_names(part)[0]}: item {number} has no answer: at least one is needed")
    return [{"context": f"Q: {row['question'].rstrip(' ?')}?\nA:", "answers": row["answer"]} for row in rows]


def open_names(part: str) -> tuple[str, str]:
    return f"NQ-open.{part}.jsonl", f"nq-open.{part}.jsonl"


def solved_questions(files: Files) -> list[Item]:
    """The training questions; the other development questions where those are not there."""
    return open_questions(files, "train" if files.has(*open_names("train")) else "dev")


def conversations(files: Files) -> list[Item]:
    """CoQA: the story, the conversation so far, and the next question; one item for each turn."""
    name = "coqa-dev-v1.0.json"
    content = parse_json(files.text(name), name)
    try:
        return [turn for story in content["data"] for turn in _turns(story)]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise InputError(f"{name} is not CoQA's: `data`, a list of stories, each with questions and answers") from None


def _turns(story: dict[str, Any]) -> Iterator[Item]:
    history = story["story"]
    for n, (question, answer) in enumerate(zip(story["questions"], story["answers"], strict=True)):
        context = f"{history}\nQ: {question['input_text']}\nA:"
        others = [turns[n]["input_text"] for turns in story.get("additional_answers", {}).values()]
        yield {"context": context, "answers": [answer["input_text"], *others]}
        history = f"{context} {answer['input_text']}"


def reply(item: Item, shown: str) -> list[Request]:
    return [Generate(shown + item["context"], max_tokens=32, until=("\n",))]


def normal(text: str) -> list[str]:
    """Words in lower case without punctuation and articles, as SQuAD's and CoQA's scripts compare them."""
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return [word for word in kept.split() if word not in ("a", "an", "the")]


def overlap(said: str, right: str) -> float:
    """F1 of the words of two answers."""
    ours, theirs = normal(said), normal(right)
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs))


def compare_turn(item: Item, answers: list[Answer]) -> Row:
    """As CoQA's script: each person's answer is left out in turn, and the best against the others averaged."""
    right = item["answers"]
    kept = [right[:n] + right[n + 1 :] for n in range(len(right))] if len(right) > 1 else [right]
    rows = [compare({"answers": others}, answers) for others in kept]
    return {name: float(np.mean([row[name] for row in rows])) for name in ("exact", "f1")}


def compare(item: Item, answers: list[Answer]) -> Row:
    said = written(answers[0])
    return {
        "exact": any(normal(said) == normal(right) for right in item["answers"]),
        "f1": max(overlap(said, right) for right in item["answers"]),
    }


EXACT, F1 = mean("exact", "exact match"), mean("f1", "F1")
TASKS = (
    Task(
        "tldr",
        "a summary after TL;DR:",
        "GPT-2, section 3.6",
        stories,
        summarize,
        rouge,
        tuple(mean(kind, kind) for kind in ("average", "rouge1", "rouge2", "rougeL")),
    ),
    *(
        Task(
            f"translation_{a}_{b}",
            "`sentence = translation`, newstest2014",
            "GPT-2, section 3.7",
            partial(pairs, source=a, target=b, year=2014),
            translate,
            bleu_counts,
            (Metric("BLEU", "BLEU", corpus_bleu),),
            example=lambda item: f"{item['source']} = {item['target']}",
            delimiter="\n",
            pool=partial(pairs, source=a, target=b, year=2013),
        )
        for a, b in (("en", "fr"), ("fr", "en"))
    ),
    Task(
        "natural_questions",
        "questions, no document",
        "GPT-2, section 3.8",
        open_questions,
        reply,
        compare,
        (EXACT, F1),
        example=lambda item: f"{item['context']} {item['answers'][0]}",
        delimiter="\n\n",
        pool=solved_questions,
    ),
    Task("coqa", "questions about a story", "GPT-2, section 3.5", conversations, reply, compare_turn, (F1, EXACT)),
)
