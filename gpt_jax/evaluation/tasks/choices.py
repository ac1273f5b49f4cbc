"""GPT-3's multiple-choice and true-or-false tasks (sections 3.1 to 3.8): the prompts' forms follow its appendix G."""

from __future__ import annotations

from gpt_jax.data.public_files import Files
from gpt_jax.evaluation.forms import TEST, choice_task, examples
from gpt_jax.evaluation.task import Item


def openbookqa(files: Files, split: str = TEST) -> list[Item]:
    return [
        {"context": e.texts[0], "choices": [f" {text}" for text in e.texts[2:]], "answer": e.label}
        for e in examples(files, "openbookqa", split)
    ]


def copa(files: Files, split: str = TEST) -> list[Item]:
    """The premise without its full stop, `because` or `so`, and the alternatives in lower case."""
    found = []
    for e in examples(files, "copa", split):
        premise, joint, *alternatives = e.texts
        context = f"{premise.strip().removesuffix('.')} {joint}"
        choices = [f" {text[:1].lower()}{text[1:]}" for text in alternatives]
        found.append({"context": context, "choices": choices, "answer": e.label})
    return found


def rte(files: Files, split: str = TEST) -> list[Item]:
    """Whether the hypothesis follows: True or False."""
    return [
        {
            "context": f"{e.texts[0]}\nquestion: {e.texts[1]} True or False?\nanswer:",
            "choices": [" True", " False"],
            "answer": e.label,
        }
        for e in examples(files, "rte", split)
    ]


def story_cloze(files: Files, year_part: str) -> list[Item]:
    """Story Cloze's .csv as distributed: id, four sentences, two endings, the right one's number from 1."""
    return [
        {"context": " ".join(row[1:5]), "choices": [f" {text}" for text in row[5:7]], "answer": int(row[7]) - 1}
        for row in files.table(*(f"cloze_test_{year_part}__{y}*.csv" for y in ("spring2016", "winter2018")))
    ]


def story_cloze_dev(files: Files) -> list[Item]:
    return story_cloze(files, "val")


def hellaswag(files: Files, split: str) -> list[Item]:
    return [
        {"context": row["ctx"], "choices": [f" {text}" for text in row["endings"]], "answer": int(row["label"])}
        for row in files.jsonl(f"hellaswag_{split}.jsonl", fields={"ctx": str, "endings": list, "label": (int, str)})
    ]


def arc(files: Files, split: str) -> list[Item]:
    """ARC's challenge set as distributed, .jsonl."""
    found = []
    for row in files.jsonl(f"ARC-Challenge-{split}.jsonl", fields={"question": dict, "answerKey": str}):
        options = row["question"]["choices"]
        labels = [option["label"] for option in options]
        found.append(
            {
                "context": f"Question: {row['question']['stem']}\nAnswer:",
                "answer": labels.index(row["answerKey"]),
                "choices": [f" {option['text']}" for option in options],
            }
        )
    return found


TASKS = (
    choice_task(
        "openbookqa",
        "science questions",
        "GPT-3, table 3.6",
        openbookqa,
        pool=lambda files: openbookqa(files, "train"),
        by="ratio",
        chance=25.0,
        delimiter="\n\n",
    ),
    choice_task(
        "arc_challenge",
        "science questions, hard",
        "GPT-3, table 3.6",
        lambda files: arc(files, "Test"),
        pool=lambda files: arc(files, "Train"),
        by="ratio",
        chance=25.0,
    ),
    choice_task(
        "copa",
        "cause or effect",
        "GPT-3, table 3.8",
        copa,
        pool=lambda files: copa(files, "train"),
        chance=50.0,
        delimiter="\n",
    ),
    choice_task(
        "rte",
        "entailment: True or False",
        "GPT-3, table 3.8",
        rte,
        pool=lambda files: rte(files, "train"),
        by="sum",
        chance=50.0,
    ),
    choice_task(
        "story_cloze",
        "the right end of a story",
        "GPT-3, table 3.2",
        lambda files: story_cloze(files, "test"),
        pool=story_cloze_dev,
        chance=50.0,
    ),
    choice_task(
        "hellaswag",
        "the right end of a description",
        "GPT-3, table 3.2",
        lambda files: hellaswag(files, "val"),
        pool=lambda files: hellaswag(files, "train"),
        chance=25.0,
    ),
)
