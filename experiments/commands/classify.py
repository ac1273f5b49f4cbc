"""`classify`: labels a text with a fine-tuned model."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.arguments import text
from experiments.command import Command
from gpt_jax.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a run folder that fine-tuning wrote")
    parser.add_argument(
        "--text", type=text, required=True, metavar="TEXT", help="the text, the first of two, or the context"
    )
    parser.add_argument("--text-b", type=text, metavar="TEXT", help="the second text, or the question")
    parser.add_argument("--answer", type=text, action="append", default=[], metavar="TEXT", help="an answer; repeated")


def classify(arguments: argparse.Namespace) -> int:
    """Prints the label of a text, a pair of texts, or the best answer to a question, with the probabilities."""
    from experiments.runs.finetuning.predictions import named
    from experiments.runs.finetuning.saved import restore
    from gpt_jax.data.tasks import Example

    folder = arguments.folder
    model = restore(folder)
    task = model.task
    texts = tuple(one for one in (arguments.text, arguments.text_b) if one is not None) + tuple(arguments.answer)
    wanted = {
        "classification": ("--text", len(texts) == 1 and not arguments.answer),
        "entailment": ("--text (the premise) and --text-b (the hypothesis)", len(texts) == 2 and not arguments.answer),
        "similarity": ("--text and --text-b", len(texts) == 2 and not arguments.answer),
        "multiple_choice": (
            "--text (the context), --text-b (the question) and two or more --answer",
            arguments.text_b is not None and len(arguments.answer) > 1,
        ),
    }[task.shape]
    if not wanted[1]:
        raise InputError(f"{folder}: {task.name} is {task.shape.replace('_', ' ')}: {wanted[0]} must be given, no more")
    found = model.predict([Example(texts=texts, label=None, id="", group="")])[0]
    if task.regression:
        print(f"{found:.3f}  (from {task.regression[0]:g} to {task.regression[1]:g})")
        return 0
    names = arguments.answer or [str(named(task, n)) for n in range(len(task.labels))]
    for n in sorted(range(len(names)), key=lambda n: -found[n]):
        print(f"{found[n]:.4f}  {names[n]}")
    return 0


COMMAND = Command(
    group="use a model",
    help="label a text with a fine-tuned model",
    example="python -m experiments classify runs/finetune/grammar/seed-0 --text 'the film was not dull .'",
    arguments=add_arguments,
    act=classify,
)
