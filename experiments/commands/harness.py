"""`harness`: lm-evaluation-harness's own command line, with our models registered as `gpt_jax`."""

from __future__ import annotations

import argparse
import sys

from experiments.command import Command
from gpt_jax.errors import InputError


def harness(arguments: argparse.Namespace) -> int:
    """Hands all words to the harness; `--model gpt_jax` is added where no model is named."""
    words = list(arguments.words)
    subcommand = [words.pop(0)] if words and not words[0].startswith("-") else ["run"]
    try:
        from lm_eval.__main__ import cli_evaluate

        import gpt_jax.evaluation.harness  # noqa: F401  (registers the model)
    except ImportError as error:
        raise InputError(f"harness needs the package lm_eval: pip install 'gpt-jax[eval]' ({error})") from None
    if subcommand == ["run"] and not any(word.partition("=")[0] in ("--model", "-M") for word in words):
        words = ["--model", "gpt_jax", *words]
    before, sys.argv = sys.argv, ["lm_eval", *subcommand, *words]  # the harness reads nothing else
    try:
        cli_evaluate()
    finally:
        sys.argv = before
    return 0


COMMAND = Command(
    group="use a model",
    help="score a model with lm-evaluation-harness: all its options, the model is --model_args path=DIR",
    example="python -m experiments harness --model_args path=DIR --include_path TASKS --tasks lambada_local",
    arguments=None,
    act=harness,
)
