"""RACE (Lai et al. 2017): questions about an exam's text, with four answers each, of middle and high school together.

GPT-3, table 2.1 and section 2.4: a choice is judged by P(answer | question) / P(answer | "A:"). GPT-1's heuristic, the
best mean token log-probability, is in gpt1_heuristics.py.
"""

from __future__ import annotations

from gpt_jax.data.public_files import Files
from gpt_jax.disk import parse_json
from gpt_jax.errors import InputError
from gpt_jax.evaluation.forms import choice_task, is_right
from gpt_jax.evaluation.inference.requests import Answer, Choice, Request, choices
from gpt_jax.evaluation.task import Item, Row


def read(files: Files, split: str) -> list[Item]:
    """`RACE/SPLIT/{middle,high}/*.txt` as distributed: one object with article, questions, options, answers."""
    found = []
    for name, text in files.members(".txt", f"RACE/{split}", f"RACE_{split}.zip"):
        page = parse_json(text, name)
        try:
            for question, options, letter in zip(page["questions"], page["options"], page["answers"], strict=True):
                context, answers = f"{page['article']}\n\nQ: {question}\n\nA:", [f" {o}" for o in options]
                found.append({"context": context, "choices": answers, "answer": "ABCD".index(letter)})
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{name} is not a page of RACE: article, questions, options, answers") from None
    return found


def items(files: Files) -> list[Item]:
    return read(files, "test")


def answers_after_question(item: Item, shown: str) -> list[Request]:
    return [Choice(item["context"], tuple(item["choices"]))]


def by_mean(item: Item, answers: list[Answer]) -> Row:
    values = [answer.per_token for answer in choices(answers[0])]
    return {"correct": is_right(values, item["choices"], item["answer"])}


TASKS = (
    choice_task(
        "race",
        "questions about a text",
        "GPT-3, table 3.7",
        items,
        by="ratio",
        answer_context="A:",
        pool=lambda files: read(files, "train"),
        chance=25.0,
    ),
)
