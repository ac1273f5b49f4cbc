"""`verify`: whether run folders and published lines are whole, and whether a run gives the same numbers again."""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
from pathlib import Path

from experiments.arguments import MAX_SEED, MOST, add_data_dir, existing, whole
from experiments.command import Command
from experiments.determinism import make_deterministic, was_deterministic
from gpt_jax.disk import read_json
from gpt_jax.errors import InputError, TrainingDiverged, unknown
from gpt_jax.machine import core_numbers, on_cores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "a run folder, one above, or a published file (results/CLAIM/SCALE.jsonl)"
    parser.add_argument("target", type=Path, metavar="DIR_OR_FILE", help=text)
    parser.add_argument("--arm", metavar="ARM", help="the runs of this arm alone")
    parser.add_argument("--seed", type=whole(0, MAX_SEED), metavar="N", help="the runs of this seed alone")
    parser.add_argument("--sample", type=whole(1, MOST), metavar="N", help="N of the runs, drawn at random")
    parser.add_argument("--draw", type=whole(0, MAX_SEED), default=0, metavar="N", help="another draw of --sample (0)")
    parser.add_argument("--rerun", action="store_true", help="make the runs again, and compare number by number")
    text = "with --rerun: the first N steps alone"
    parser.add_argument("--steps", type=whole(1, MOST), metavar="N", help=text)
    text = "with --rerun: use so many cores (as many as the first run, where that is known)"
    parser.add_argument("--cores", type=whole(1, 4096), metavar="N", help=text)
    text = "with --rerun: where the second runs go (a folder that is removed)"
    parser.add_argument("--out", type=Path, metavar="DIR", help=text)
    text = "with --rerun of published runs: write down what came of each, in results/reruns.jsonl"
    parser.add_argument("--record", action="store_true", help=text)
    add_data_dir(parser, "with --rerun: the data of the runs is")


def verify(arguments: argparse.Namespace) -> int:
    """Checks, and with --rerun compares. Status 1 where a second run differs by more than it may."""
    for name in ("steps", "cores", "out", "data_dir", "record"):
        if getattr(arguments, name) not in (None, False) and not arguments.rerun:
            raise InputError(f"--{name.replace('_', '-')}: not allowed without --rerun")
    if arguments.record and (arguments.steps is not None or not arguments.target.is_file()):
        raise InputError("--record: not allowed with --steps or a folder: whole reruns of a published file are")
    if arguments.target.is_file():
        return verify_lines(arguments)
    return verify_folders(arguments)


def verify_folders(arguments: argparse.Namespace) -> int:
    """Checks run folders; raises `InputError` that names the first thing that is wrong."""
    from experiments.runs.verify import run_folders, verify_run

    folders = {folder: (folder.parent.name, folder.name) for folder in run_folders(arguments.target)}
    chosen = choose(folders, arguments)
    if arguments.rerun:
        from experiments.published.rerun import cores_of, recorded

        environment = read_json(chosen[0] / "environment.json", dict)
        how = environment.get("how", [])
        if was_deterministic(environment):
            make_deterministic()
        with on_cores(core_numbers()[: arguments.cores or cores_of(how)]):  # before JAX starts
            return rerun_all([(str(folder), recorded(folder)) for folder in chosen], arguments)
    wrong: list[str] = []
    for folder in chosen:
        problems = verify_run(folder)
        print(f"{folder}: {'whole' if not problems else f'{len(problems)} problems'}")
        wrong += problems
    for problem in wrong[1:]:
        print(f"  {problem}")
    if wrong:
        raise InputError(wrong[0])
    return 0


def verify_lines(arguments: argparse.Namespace) -> int:
    """Checks published lines (reading them does), or makes their runs again."""
    from experiments.published.file import read_lines
    from experiments.published.rerun import cores_of

    lines = read_lines(arguments.target)
    chosen = choose({where: (run.arm, f"seed-{run.seed}") for where, run in lines.items()}, arguments)
    if arguments.rerun:
        if was_deterministic(lines[chosen[0]].environment):
            make_deterministic()
        with on_cores(core_numbers()[: arguments.cores or cores_of(lines[chosen[0]].how)]):
            return rerun_all([(where, lines[where]) for where in chosen], arguments)
    for where in chosen:
        print(f"{where}: whole ({lines[where].arm} seed {lines[where].seed}, {lines[where].commit[:7]})")
    return 0


def choose(found: dict, arguments: argparse.Namespace) -> list:
    """Those of the runs (key -> (arm, "seed-N")) that the arguments ask for. Raises `InputError` for none."""
    chosen = found
    if arguments.arm is not None:
        chosen = {key: named for key, named in chosen.items() if named[0] == arguments.arm}
        if not chosen:
            raise unknown(f"arm of {arguments.target}", arguments.arm, sorted({arm for arm, _ in found.values()}))
    if arguments.seed is not None:
        seeds = sorted({name for _, name in chosen.values()})
        chosen = {key: named for key, named in chosen.items() if named[1] == f"seed-{arguments.seed}"}
        if not chosen:
            raise unknown("--seed: run", f"seed-{arguments.seed}", seeds)
    drawn = list(chosen)
    if arguments.sample is not None and arguments.sample < len(drawn):
        print(f"drawn with --draw {arguments.draw}: {arguments.sample} of {len(drawn)} runs")
        drawn = random.Random(arguments.draw).sample(drawn, arguments.sample)
    return drawn


def rerun_all(runs: list, arguments: argparse.Namespace) -> int:
    """Makes published runs (where, run) again, and prints how they compare. Status 1 where one does not hold."""
    from experiments.published.compare import Compared, compare
    from experiments.published.rerun import rerun
    from experiments.published.reruns import Rerun, record, require_clean
    from experiments.runs.environment import environment
    from experiments.runs.screen import Screen
    from experiments.terminal import make_console

    data_dir, broken = existing(arguments.data_dir, "--data-dir"), []
    screen, here = Screen(make_console()), environment()
    if arguments.record:
        require_clean(here)
    for number, (where, run) in enumerate(runs, 1):
        commit = here["commit"] or "no commit"
        named = f"{where}: {run.claim}, {run.arm} seed {run.seed}"
        print(f"{named}, of {run.commit[:7]}: again at {commit[:7]} ({number} of {len(runs)})", flush=True)
        with tempfile.TemporaryDirectory() as temporary:
            try:
                again = rerun(run, arguments.out or Path(temporary), data_dir, screen, arguments.steps)
                compared = compare(run, again, arguments.steps)
            except TrainingDiverged as error:
                compared = Compared(1, f"diverged: {error}", (), (), (), (), math.inf)
        if not compared.figures:
            raise InputError(f"--steps: {arguments.steps} is not allowed: {where} has no figure as early")
        print(f"{where}:\n{compared}", flush=True)
        if arguments.record:
            record(arguments.target.resolve().parents[1], Rerun.of(run, compared, here))
        broken += [] if compared.holds else [where]
    for where in broken:
        print(f"failed: {where} does not give its numbers again", file=sys.stderr)
    return 1 if broken else 0


COMMAND = Command(
    group="judge",
    help="check that run folders or published lines are whole; with --rerun, that they give the same numbers again",
    example="python -m experiments verify results/quickstart/smoke.jsonl --rerun",
    arguments=add_arguments,
    act=verify,
)
