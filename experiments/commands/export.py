"""`export`: a trained model as a folder that Transformers loads, with its tokenizer."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from experiments.arguments import add_model_folder
from experiments.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_folder(parser)
    parser.add_argument("target", type=Path, metavar="FOLDER", help="a folder without a model, or a new one")


def export(arguments: argparse.Namespace) -> int:
    """Writes config.json, model.safetensors and the tokenizer's files; what they cannot express is wrong use."""
    from gpt_jax.interop import save_pretrained
    from gpt_jax.interop.tokenizer_files import what_differs
    from gpt_jax.loading import load_model

    loaded = load_model(arguments.folder, lambda line: print(line, file=sys.stderr))
    save_pretrained(loaded.config, loaded.params, arguments.target, loaded.tokenizer)
    if note := what_differs(loaded.tokenizer):
        print(note, file=sys.stderr)
    print(f"written: {arguments.target}; AutoModelForCausalLM and AutoTokenizer read it")
    return 0


COMMAND = Command(
    group="use a model",
    help="write a model and its tokenizer as Transformers reads them",
    example="python -m experiments export runs/quickstart/gpt/seed-0 exported",
    arguments=add_arguments,
    act=export,
)
