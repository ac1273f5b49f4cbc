"""`sample`: text by a trained model."""

from __future__ import annotations

import argparse
import sys

from experiments.arguments import MOST, add_int8, add_model_folder, add_seed, number, text, whole
from experiments.command import Command

MOST_SAMPLES = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_folder(parser)
    parser.add_argument("--prompt", type=text, required=True, metavar="TEXT", help="what the text starts with")
    parser.add_argument("--tokens", type=whole(1, MOST), metavar="N", help="how many to write (200, or what fits)")
    parser.add_argument("--temperature", type=number(0), default=0.8, metavar="T", help="0 is greedy (0.8)")
    parser.add_argument("--top-k", type=whole(1, MOST), metavar="K", help="only the K likeliest tokens")
    parser.add_argument("--top-p", type=number(0, 1, above=True), metavar="P", help="only the likeliest, up to P")
    add_seed(parser, of="the sampling")
    parser.add_argument("--samples", type=whole(1, MOST_SAMPLES), default=1, metavar="N", help="how many texts (1)")
    add_int8(parser)


def sample(arguments: argparse.Namespace) -> int:
    """Prints text by the model of a run folder or a weights folder."""
    from experiments.runs.weights import write_text

    texts = write_text(
        arguments.folder,
        arguments.prompt,
        tokens=arguments.tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        seed=arguments.seed,
        samples=arguments.samples,
        int8=arguments.int8,
        report=lambda line: print(line, file=sys.stderr),
    )
    print(f"\n{'-' * 40}\n".join(texts))
    return 0


COMMAND = Command(
    group="use a model",
    help="write text with a trained model",
    example="python -m experiments sample runs/quickstart/gpt/seed-0 --prompt 'ROMEO:' --temperature 0.8 --top-k 40",
    arguments=add_arguments,
    act=sample,
)
