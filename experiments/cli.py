"""The command line: arguments in, an exit status out. What the commands do is in commands.py.

The status is 0 when all is done, and when a run was asked to stop (Ctrl-C, SIGTERM) and wrote its checkpoint; 1 when
a run failed (it diverged, the disk is full: the last line says which); 2 for wrong use, with one line on stderr; 130
when a second signal, or one where nothing is being trained, stopped it at once. Stopping says how to go on.
"""

from __future__ import annotations

import argparse
import math
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from experiments.commands import commands, finetuning_commands
from experiments.commands.compile import compile_config
from experiments.commands.contamination import contamination
from experiments.commands.evaluate import evaluate
from experiments.runs.full_disk import DiskFull
from experiments.runs.signals import STATUS, Stopped
from gpt_jax.errors import InputError, unknown

START = "python -m experiments"
MAX_SEED = 2**32 - 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} ({self.prog} --help shows how)")


@dataclass(frozen=True)
class Command:
    """One word after `python -m experiments`: its one-line help, an example, its arguments, what it does."""

    help: str
    example: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    act: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str]) -> int:
    """Runs one command; returns the exit status."""
    try:
        return _dispatch(list(argv))
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(f"{stopped}; go on with: {stopped.go_on or _again(argv)}", file=sys.stderr)
        return 0
    except DiskFull as full:
        print(f"failed: {full} with: {_again(argv)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted: what was written stays; go on with: {_again(argv)}", file=sys.stderr)
        return STATUS


def _again(argv: Sequence[str]) -> str:
    return shlex.join([*START.split(), *argv])


def _dispatch(argv: list[str]) -> int:
    name, *rest = argv or ["list"]
    if name in ("-h", "--help"):
        print(_overview())
        return 0
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    command = COMMANDS[name]
    parser = _Parser(
        prog=f"python -m experiments {name}", description=command.help, epilog=f"example:\n  {command.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    command.add_arguments(parser)
    try:
        arguments, extra = parser.parse_known_intermixed_args(rest)
    except SystemExit as stop:  # --help
        return int(stop.code or 0)
    if extra:
        options = re.findall(r"--[\w-]+", parser.format_usage())
        if extra[0].startswith("-"):
            raise unknown("option", extra[0].partition("=")[0], options)
        parser.error(f"unexpected argument {extra[0]!r}")
    return command.act(arguments)


def _overview() -> str:
    lines = ["usage: python -m experiments COMMAND ...", "", "Runs and judges the experiments.", "", "commands:"]
    lines += [f"  {name:<8} {command.help}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "python -m experiments COMMAND --help shows a command's arguments and an example"])


def seeds(text: str) -> tuple[int, ...]:
    """Reads "0:3" as (0, 1, 2), "0,2,5" as (0, 2, 5), and "4" as (4,). Raises `ArgumentTypeError`."""
    allowed = f"{text!r} is not allowed: a seed (4), a list (0,2,5) or a range (0:3 is 0, 1, 2)"
    start, colon, stop = text.partition(":")
    parts = [start, stop] if colon else text.split(",")
    if not all(part.isascii() and part.isdigit() and int(part) <= MAX_SEED for part in parts):
        raise argparse.ArgumentTypeError(allowed)
    chosen = tuple(range(int(start), int(stop))) if colon else tuple(int(part) for part in parts)
    if not chosen or len(set(chosen)) < len(chosen):
        raise argparse.ArgumentTypeError(allowed + ", not empty, each seed once")
    return chosen


def whole(low: int, high: float = math.inf) -> Callable[[str], int]:
    """Reads a whole number in `low..high`."""

    def read(text: str) -> int:
        if not (text.isascii() and text.lstrip("-").isdigit()) or not low <= int(text) <= high:
            limits = f"of at least {low}" if high == math.inf else f"in {low}..{high:g}"
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed: a whole number {limits}")
        return int(text)

    return read


def number(low: float, high: float = math.inf, above: bool = False) -> Callable[[str], float]:
    """Reads a finite number in `low..high`; with `above`, `low` itself is left out."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not low <= value <= high or (above and value == low):
            limits = f"{'above' if above else 'of at least'} {low:g}"
            limits += f", at most {high:g}" if high < math.inf else ""
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed: a number {limits}")
        return value

    return read


def _out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="parent of all runs (runs/)")


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable")


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="an experiment, as `list` names it")


def _folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a run folder: runs/EXPERIMENT/ARM/seed-N")


def _show(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--scale", default=None, metavar="SCALE", help="whose compute to show (all)")
    _out(parser)


def _run(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="change a setting: model.n_layer=2")
    parser.add_argument("--scale", default="cpu", metavar="SCALE", help="smoke, cpu (the default) or paper")
    parser.add_argument("--seeds", type=seeds, metavar="SEEDS", help="0:3, or 0,2,5, or 4 (the scale's own)")
    parser.add_argument("--only", action="append", default=[], metavar="ARM", help="an arm; may be repeated (all)")
    _data_dir(parser)
    _hosts(parser)
    _out(parser)


def _resume(parser: argparse.ArgumentParser) -> None:
    _folder(parser)
    parser.add_argument("overrides", nargs="*", metavar="mesh.KEY=VALUE", help="go on with another mesh: mesh.fsdp=8")
    _data_dir(parser)
    _hosts(parser)


def _hosts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hosts", metavar="HOSTS",
        help="several processes as one: auto (SLURM, GKE, TPU pods), or HOST:PORT,COUNT,INDEX of process 0 and this",
    )  # fmt: skip


def _data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where local text is")


def _model_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=Path, metavar="DIR",
        help="a run folder (runs/EXPERIMENT/ARM/seed-N), or a weights folder (config.json and model.safetensors)",
    )  # fmt: skip


def _sample(parser: argparse.ArgumentParser) -> None:
    _model_folder(parser)
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="what the text starts with")
    parser.add_argument("--tokens", type=whole(1), metavar="N", help="how many to write (200, or what fits)")
    parser.add_argument("--temperature", type=number(0), default=0.8, metavar="T", help="0 is greedy (0.8)")
    parser.add_argument("--top-k", type=whole(1), metavar="K", help="only the K likeliest tokens")
    parser.add_argument("--top-p", type=number(0, 1, above=True), metavar="P", help="only the likeliest, up to P")
    parser.add_argument("--seed", type=whole(0, MAX_SEED), default=0, metavar="N", help="of the sampling (0)")
    parser.add_argument("--samples", type=whole(1), default=1, metavar="N", help="how many texts (1)")


def _finetune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a run folder, or weights in Transformers' layout")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="a setting: finetuning.learning_rate=1e-4")
    parser.add_argument("--task", required=True, metavar="NAME", help="a task's name, or a folder that holds one")
    parser.add_argument("--seeds", type=seeds, metavar="SEEDS", help="0:3, or 0,2,5, or 4 (0)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where the task's files are")
    _out(parser)


def _classify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a run folder that fine-tuning wrote")
    parser.add_argument("--text", required=True, metavar="TEXT", help="the text, the first of two, or the context")
    parser.add_argument("--text-b", metavar="TEXT", help="the second text, or the question")
    parser.add_argument("--answer", action="append", default=[], metavar="TEXT", help="an answer; repeated")


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="NAME_OR_DIR", help="an experiment, or a folder of runs")
    _out(parser)


def _compile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="a recipe of configs/: gpt2-1.5b, gpt3-175b, ...")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="change a setting: model.remat=full")
    parser.add_argument("--topology", required=True, metavar="TPU", help="v5e:4x4, v5p:8x8x8, v6e:16x16, v4:4x4x4 ...")
    parser.add_argument("--mesh", default="", metavar="AXES", help="data=1,fsdp=16,tensor=1 (data: what is left)")
    parser.add_argument("--slices", type=whole(1), default=1, metavar="N", help="that many slices (1)")
    parser.add_argument(
        "--compiler-option", action="append", default=[], metavar="NAME=VALUE", help="of XLA; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")


def _contamination(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="a run folder, or a file or folder of text")
    parser.add_argument("--tasks", required=True, metavar="A,B", help="tasks' names, or files: .txt, .jsonl, .tsv")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where the tasks' data is")
    parser.add_argument("--corpus-dir", type=Path, metavar="DIR", help="where the run's text is (--data-dir)")
    parser.add_argument("--n", type=whole(1), metavar="N", help="words of a collision (by task, 8 to 13)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a json file with every item's verdict")


def _evaluate(parser: argparse.ArgumentParser) -> None:
    _model_folder(parser)
    parser.add_argument("--tasks", required=True, metavar="A,B", help="tasks or families of docs/EVALUATION.md")
    parser.add_argument(
        "--shots", default="0", metavar="K", help="0,1,10; `fit`: as many as fit; `sweep`: 0, 1, 2, 4, ..., fit (0)"
    )
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where the tasks' public files are, at any depth")
    parser.add_argument("--limit", type=whole(1), metavar="N", help="that many items of each task, at random (all)")
    parser.add_argument("--seed", type=whole(0, MAX_SEED), default=0, metavar="N", help="of examples and limit (0)")
    parser.add_argument("--stride", type=whole(1), metavar="N", help="tokens a window of a long text scores (context)")
    parser.add_argument(
        "--overflow", choices=("error", "drop", "truncate"), default="error",
        help="what is longer than the context: an error; drop examples; truncate the text from the left (error)",
    )  # fmt: skip
    parser.add_argument(
        "--overlap", type=Path, metavar="FILE", help="what `contamination --out` wrote: clean and dirty items too"
    )
    parser.add_argument("--checkpoints", action="store_true", help="each checkpoint of a run, not the newest alone")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a json file; every answer goes beside it as jsonl")
    parser.add_argument("--json", action="store_true", help="machine-readable")


COMMANDS = {
    "list": Command("the experiments there are", f"{START} list --json", _list, commands.list_experiments),
    "show": Command(
        "an experiment: its claim, arms and compute", f"{START} show layer_norm --scale cpu", _show, commands.show
    ),
    "run": Command(
        "train an experiment's arms: skips what is finished, goes on with what is begun",
        f"{START} run quickstart --scale smoke --seeds 0:2 training.train_tokens=1e5",
        _run,
        commands.run,
    ),
    "resume": Command("go on with one run", f"{START} resume runs/quickstart/gpt/seed-0", _resume, commands.resume),
    "sample": Command(
        "write text with a trained model",
        f"{START} sample runs/quickstart/gpt/seed-0 --prompt 'ROMEO:' --temperature 0.8 --top-k 40",
        _sample,
        commands.sample,
    ),
    "finetune": Command(
        "fine-tune a model on a task as GPT-1 does",
        f"{START} finetune runs/books/large/seed-0 --task sst2 --seeds 0:3 finetuning.examples=1000",
        _finetune,
        finetuning_commands.finetune,
    ),
    "classify": Command(
        "label a text with a fine-tuned model",
        f"{START} classify runs/finetune/sst2/seed-0 --text 'a moving and clever film'",
        _classify,
        finetuning_commands.classify,
    ),
    "evaluate": Command(
        "score a model on tasks without fine-tuning, zero-shot or few-shot",
        f"{START} evaluate runs/books/large/seed-0 --tasks lambada,blimp --shots 0,1,10 --data-dir data",
        _evaluate,
        evaluate,
    ),
    "report": Command("the verdicts on what was run", f"{START} report layer_norm", _report, commands.report),
    "compile": Command(
        "what a config needs of a TPU slice, compiled ahead of time, without one",
        f"{START} compile gpt2-1.5b --topology v5e:4x4 --mesh fsdp=16 training.batch_tokens=131072",
        _compile,
        compile_config,
    ),
    "contamination": Command(
        "how much of a task stands in a corpus, and which of its items are clean",
        f"{START} contamination runs/quickstart/gpt/seed-0 --tasks lambada --data-dir data --out overlap.json",
        _contamination,
        contamination,
    ),
    "verify": Command(
        "check that a run folder is whole", f"{START} verify runs/quickstart/gpt/seed-0", _folder, commands.verify
    ),
}
