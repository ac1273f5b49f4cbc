"""Arguments that several commands take, how their text is read, and checks of what they name."""

from __future__ import annotations

import argparse
import math
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gpt_jax.disk import read_json
from gpt_jax.errors import InputError

MAX_SEED = 2**32 - 1
MOST_SEEDS = 10_000  # of one sweep
MOST = 10**9  # of anything that is counted
OVERRIDES = "overrides"  # the settings among the parsed arguments


def add_experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="an experiment, as `list` names it")


def add_run_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a run folder: runs/EXPERIMENT/ARM/seed-N")


def add_model_folder(parser: argparse.ArgumentParser) -> None:
    text = "a run folder (runs/EXPERIMENT/ARM/seed-N), or a weights folder (config.json and model.safetensors)"
    parser.add_argument("folder", type=Path, metavar="DIR", help=text)


def add_int8(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--int8", action="store_true", help="weights rounded to 8 bits: faster on a CPU, less exact")


def add_overrides(parser: argparse.ArgumentParser, example: str, metavar: str = "KEY=VALUE") -> None:
    parser.add_argument(OVERRIDES, nargs="*", metavar=metavar, help=f"change a setting: {example}")


def add_seeds(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--seeds", type=seeds, metavar="SEEDS", help=f"0:3, or 0,2,5, or 4 ({default})")


def add_seed(parser: argparse.ArgumentParser, of: str) -> None:
    parser.add_argument("--seed", type=whole(0, MAX_SEED), default=0, metavar="N", help=f"of {of} (0)")


def add_data_dir(parser: argparse.ArgumentParser, what: str = "local text is") -> None:
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help=f"where {what}")


def add_hosts(parser: argparse.ArgumentParser) -> None:
    text = "several processes as one: auto (SLURM, GKE, TPU pods), or HOST:PORT,COUNT,INDEX of process 0 and this"
    parser.add_argument("--hosts", metavar="HOSTS", help=text)


OUT = Path("runs")


def add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="parent of all runs (runs/)")


def add_results(parser: argparse.ArgumentParser) -> None:
    text = "where published runs are (results/ of the checkout)"
    parser.add_argument("--results", type=Path, metavar="DIR", help=text)


def add_profile(parser: argparse.ArgumentParser) -> None:
    text = "record N steps in DIR/profile for xprof, and say where their time went"
    parser.add_argument("--profile", type=whole(1, 1000), default=0, metavar="N", help=text)


def add_deterministic(parser: argparse.ArgumentParser) -> None:
    text = "the same bits again on a GPU, more slowly: XLA's deterministic flags (a CPU and a TPU repeat anyway)"
    parser.add_argument("--deterministic", action="store_true", help=text)


def add_ways(parser: argparse.ArgumentParser) -> None:
    text = "serial (in turn), jobs (side by side), together (as one program), or auto (what is quicker here)"
    parser.add_argument("--how", default="auto", metavar="HOW", help=text)
    text = "N runs side by side, each in a process on cores of its own; with --how together, at most N in one program"
    parser.add_argument("--jobs", type=whole(1, MOST), metavar="N", help=text)


def add_shard(parser: argparse.ArgumentParser) -> None:
    text = "make part I of N of the runs, on one of N machines that share nothing: 2/5"
    parser.add_argument("--shard", type=part, metavar="I/N", help=text)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable")


def seeds(text: str) -> tuple[int, ...]:
    """Reads "0:3" as (0, 1, 2), "0,2,5" as (0, 2, 5), and "4" as (4,). Raises `ArgumentTypeError`."""
    allowed = f"{text!r} is not allowed: a seed (4), a list (0,2,5) or a range (0:3 is 0, 1, 2)"
    start, colon, stop = text.partition(":")
    parts = [start, stop] if colon else text.split(",")
    if not all(re.fullmatch(r"[0-9]{1,10}", part) and int(part) <= MAX_SEED for part in parts):
        raise argparse.ArgumentTypeError(allowed)
    if colon and int(stop) - int(start) > MOST_SEEDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: at most {MOST_SEEDS:,} seeds")
    chosen = tuple(range(int(start), int(stop))) if colon else tuple(int(part) for part in parts)
    if not chosen or len(set(chosen)) < len(chosen):
        raise argparse.ArgumentTypeError(allowed + ", not empty, each seed once")
    return chosen


def part(text: str) -> tuple[int, int]:
    """Reads "2/5" as (2, 5), the second of five parts. Raises `ArgumentTypeError`."""
    match = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: part I of N, I from 1 to N, for example 2/5")
    return int(match[1]), int(match[2])


def text(word: str) -> str:
    """Reads a text: the bytes that were typed as UTF-8, also where the terminal's encoding is another one."""
    try:
        return os.fsencode(word).decode("utf-8") if any("\ud800" <= c <= "\udfff" for c in word) else word
    except UnicodeError:
        raise argparse.ArgumentTypeError(f"{word!r} is not allowed: valid Unicode text") from None


def whole(low: int, high: float = math.inf) -> Callable[[str], int]:
    """Reads a whole number in `low..high`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not low <= int(text) <= high:
            limits = f"of at least {low}" if high == math.inf else f"from {low} to {high}"
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


def parse_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """["model.n_layer=2"] -> {"model.n_layer": "2"}. Raises `InputError`."""
    changes = {}
    for word in texts:
        key, equals, value = word.partition("=")
        try:
            key, value = text(key), text(value)
        except argparse.ArgumentTypeError as error:
            raise InputError(f"{key}: {error}") from None
        if not equals or not key:
            raise InputError(f"{word!r} is not allowed: a setting is KEY=VALUE, for example model.n_layer=2")
        if key in changes:
            raise InputError(f"{key}: given twice, as {changes[key]!r} and {value!r}: once is allowed")
        changes[key] = value
    return changes


def existing(path: Path | None, name: str) -> Path | None:
    """`path`, if it is there. Raises `InputError`."""
    if path is not None and not path.exists():
        raise InputError(f"{name}: {str(path)!r} does not exist: a folder or file of text is allowed")
    return path


def run_folder(path: Path) -> Path:
    """`path`, if it is a run folder. Raises `InputError`."""
    if not (path / "config.json").is_file():
        raise InputError(f"{path} is not a run folder: no config.json there; runs are in DIR/EXPERIMENT/ARM/seed-N")
    return path


def writable(out: Path) -> None:
    """Makes the folder `out`. Raises `InputError` where it cannot be made or written to."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"--out: {str(out)!r} is not allowed: {error.strerror}: a folder to write to is") from None


def output_file(path: Path | None, keys: Sequence[str], *beside: str) -> Path | None:
    """`--out FILE.json`, if it can be written: a new file, or one that this command wrote, whose JSON has all `keys`.

    `beside` are the endings that replace `.json` for what is written beside it: they exist only where the file does.
    Raises `InputError` where another file would be lost.
    """
    if path is None:
        return None
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"--out: {str(path)!r} is not allowed: a file, in a folder that exists")
    if path.suffix != ".json":
        raise InputError(f"--out: {str(path)!r} is not allowed: a name that ends in .json")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"--out: {str(path)!r} is not allowed: {error.strerror}: a folder to write to is") from None
    if path.exists():
        try:
            found = read_json(path)
        except InputError:
            found = None
        if not isinstance(found, dict) or not set(keys) <= found.keys():
            raise InputError(f"--out: {str(path)!r} is no earlier output: allowed: such a file, or a new one")
    else:
        for other in (path.with_suffix(ending) for ending in beside):
            if other.exists():
                raise InputError(f"--out: {str(other)!r} would be overwritten: allowed: another name")
    return path
