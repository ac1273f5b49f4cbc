"""Runs the benchmarks of this machine in turn, and writes their tables into docs/PERFORMANCE.md.

    python -m benchmarks                           # all of them: an hour or more on 2 CPU cores
    python -m benchmarks --only train-10m decode   # some of them; the other tables stay as they are
    python -m benchmarks --quick                   # does each of them run? Prints, and writes nothing

A table stands between the page's markers `<!-- begin NAME -->` and `<!-- end NAME -->`; the prose around it stays. A
benchmark that fails leaves its table as it was, the others go on, and the status is 1. The accelerator has a command of
its own, `python benchmarks/accelerator.py`, and TPU slices, `python benchmarks/slices.py`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from gpt_jax.disk import read_utf8, write_atomically
from gpt_jax.errors import InputError

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "PERFORMANCE.md"


@dataclass(frozen=True)
class Part:
    """A benchmark: its script in this folder, and what it is given; `--quick` keeps the `mode` alone."""

    script: str
    arguments: tuple[str, ...] = ()
    mode: tuple[str, ...] = ()
    has_quick: bool = True

    def given(self, quick: bool) -> tuple[str, ...]:
        if not quick:
            return (*self.arguments, *self.mode)
        return ("--quick", *self.mode) if self.has_quick else ()

    @property
    def command(self) -> str:
        return " ".join(["python", f"benchmarks/{self.script}", *self.given(quick=False)])


BESIDE_TORCH = (
    "--only torch/float32 torch-compile/float32 ours/float32 ours/float32-turned torch/bfloat16 torch-compile/bfloat16 "
    "ours/products ours/bfloat16"
)
PARTS = {
    "machine": Part("machine.py", has_quick=False),
    **{
        f"train-{size}": Part("train_step.py", ("--size", size, *BESIDE_TORCH.split()))
        for size in ("10m", "30m", "124m")
    },
    **{f"shares-{size}": Part("train_step.py", ("--size", size), ("--shares",)) for size in ("10m", "30m", "124m")},
    "decode": Part("decode.py"),
    "decode-8": Part("decode.py", ("--batch", "8", "--new-tokens", "64")),
    "rows": Part("rows.py"),
    "attention": Part("attention.py"),
    "scoring": Part("scoring.py"),
    "lambada": Part("scoring.py", mode=("--lambada",)),
    "sweep": Part("sweep.py"),
    "prepare": Part("prepare.py"),
    "start": Part("start.py"),
}


def output(part: Part, quick: bool) -> str:
    """What the benchmark prints. Raises `InputError` with its last line where it fails."""
    command = [sys.executable, str(ROOT / "benchmarks" / part.script), *part.given(quick)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        raise InputError(f"{part.command}: failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    return done.stdout.strip()


def with_table(page: str, name: str, text: str) -> str:
    """`page` with `text` between the markers of `name`. Raises `InputError` where it has none."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise InputError(f"{PAGE.name}: {begin} and {end} are missing: the table of {name} stands between them")
    return f"{before}{begin}\n{text}\n{end}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"some of: {', '.join(PARTS)} (all)")
    parser.add_argument("--quick", action="store_true", help="small sizes, a few rounds; nothing is written")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="the page (docs/PERFORMANCE.md)")
    arguments = parser.parse_args()
    names, failures = arguments.only or list(PARTS), 0
    if wrong := [name for name in names if name not in PARTS]:
        parser.error(f"--only {wrong[0]!r}: allowed: {', '.join(PARTS)}")
    try:
        page = "" if arguments.quick else read_utf8(arguments.page)
        for name in () if arguments.quick else names:
            with_table(page, name, "")  # before hours of work
        for number, name in enumerate(names, 1):
            started = time.monotonic()
            print(f"{number} of {len(names)}: {name}: {PARTS[name].command}", flush=True)
            try:
                text = output(PARTS[name], arguments.quick)
            except InputError as error:
                print(f"failed: {error}", file=sys.stderr)
                failures += 1
                continue
            print(f"{text}\n{time.monotonic() - started:.0f} s\n", flush=True)
            if not arguments.quick:  # at once, and from the page as it is by now
                text = f"`{PARTS[name].command}`\n\n{text}"
                write_atomically(arguments.page, with_table(read_utf8(arguments.page), name, text))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
