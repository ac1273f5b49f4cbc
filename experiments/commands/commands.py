"""What each command does. A command takes its parsed arguments, prints, and returns the exit status.

JAX and the terminal are imported where they are used: `list` needs neither.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import traceback
from pathlib import Path
from typing import Any

from experiments import experiment as experiments
from experiments.experiment import Experiment
from experiments.runs.full_disk import DiskFull, hush_writers
from gpt_jax.config import RunConfig, flatten, override, to_dict
from gpt_jax.errors import InputError, TrainingDiverged, unknown

COMMAND = "python -m experiments"


def list_experiments(arguments: argparse.Namespace) -> int:
    """Prints name and first line of every experiment."""
    found = [experiments.load(name) for name in experiments.names()]
    if arguments.json:
        rows = [
            {
                "name": e.name, "summary": e.summary, "source": e.source, "arms": list(e.arms),
                "scales": {s: {"seeds": list(e.scale(s).seeds), "arms": list(e.select(s))} for s in e.scales},
            }
            for e in found
        ]  # fmt: skip
        print(json.dumps(rows, indent=2))
        return 0
    width = max(len(e.name) for e in found)
    for e in found:
        print(f"{e.name:<{width}}  {e.summary}")
    print(f"\n{COMMAND} show NAME: what it claims and costs;  {COMMAND} run NAME --scale smoke: a first run")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Prints the claim, the arms as differences from the base, the stated directions, the compute."""
    from experiments.runs.compute import compute

    e = experiments.load(arguments.name)
    scales = [arguments.scale] if arguments.scale else list(e.scales)
    plans = {scale: compute(plan(e, scale, e.select(scale), e.scale(scale).seeds, {}).values()) for scale in scales}
    shown = arguments.scale or ("cpu" if "cpu" in e.scales else scales[0])
    print(f"{e.name}\n{'=' * len(e.name)}\n{e.claim.strip()}\n\nsource: {e.source}")
    print(f"\narms (differences from the base, at scale {shown}, seed 0):")
    for arm, overrides in e.arms.items():
        values = flatten(to_dict(e.config(arm, shown, 0)))
        print(f"  {arm}: {', '.join(f'{key}={values[key]}' for key in overrides) or 'the base'}")
    if e.comparisons:
        print("\nstated before any run (primary comparisons marked *):")
    for c in e.comparisons:
        print(f"  {'*' if c.primary else ' '} {c.title}: {c.metric} {c.stated}")
    print("\ncompute:")
    for scale, cost in plans.items():
        print(f"  {scale}: {cost}; seeds {', '.join(map(str, e.scale(scale).seeds))}")
    if e.picture is not None:
        path = arguments.out / e.name / "picture.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        e.picture(path)
        print(f"\npicture: {path}")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Trains every arm with every seed, then reports. One that fails does not stop the others; a full disk does."""
    e = experiments.load(arguments.name)
    only = tuple(arguments.only)
    arms = e.select(arguments.scale, only)
    seeds = arguments.seeds or e.scale(arguments.scale).seeds
    changes = parse_overrides(arguments.overrides)
    data_dir = existing(arguments.data_dir, "--data-dir")
    notes = []
    if data_dir is not None and e.base.data.source == "shakespeare" and "data.source" not in changes:
        changes["data.source"] = "local"
        notes.append(f"--data-dir is given: data.source is local, not {e.base.data.source}")
    configs = plan(e, arguments.scale, arms, seeds, changes)
    writable(arguments.out)

    from experiments.runs.compute import compute

    console = joined_console(arguments.hosts)
    console.print(f"{e.name} at scale {arguments.scale}: {compute(configs.values())}", highlight=False)
    console.print(
        f"arms: {', '.join(arms)}; seeds: {', '.join(map(str, seeds))}; in {arguments.out / e.name}", highlight=False
    )
    for note in notes:
        console.print(note, highlight=False)
    lost = _train_all(e, arguments.scale, configs, arguments.out, data_dir, console, arguments.hosts)
    if len(configs) > len(lost) and (len(configs) > 1 or e.comparisons):
        print_report(e, arguments.out / e.name)
    for line in lost:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if lost else 0


def _train_all(
    e: Experiment, scale: str, configs: dict[tuple[str, int], RunConfig], out: Path, data_dir: Path | None,
    console: Any, hosts: str | None,
) -> list[str]:  # fmt: skip
    """Runs all of `configs`; a line for each that failed. Wrong use, seen at the first, stops at once."""
    from experiments.runs import runner
    from experiments.runs.signals import Stopped, stop_on_signal

    lost: list[str] = []
    with stop_on_signal() as should_stop:
        for number, ((arm, seed), config) in enumerate(configs.items(), 1):
            folder = out / e.name / arm / f"seed-{seed}"
            if len(configs) > 1:
                console.rule(f"{arm}, seed {seed} ({number} of {len(configs)})")
            try:
                runner.run(
                    config, folder, runner.RunIdentity(e.name, arm, seed, scale),
                    data_dir=data_dir, console=console, divergence_is_outcome=e.divergence_is_outcome,
                    evaluate=e.evaluate, resume_command=resume_command(folder, data_dir), should_stop=should_stop,
                )  # fmt: skip
            except runner.Interrupted as stopped:
                one = len(configs) == 1 and (folder / "config.json").exists() and not hosts
                raise Stopped(f"{folder}: {stopped}", resume_command(folder, data_dir) if one else None) from None
            except DiskFull:  # for the other arms too
                for line in lost:
                    print(f"failed: {line}", file=sys.stderr)
                raise
            except InputError as error:
                if number == 1:
                    raise
                lost.append(f"{arm} seed {seed}: {error}")
            except TrainingDiverged as error:
                lost.append(f"{arm} seed {seed}: {error}")
            except Exception as error:  # out of memory, a bug: the other arms go on
                traceback.print_exc()
                lost.append(f"{arm} seed {seed}: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
    return lost


def resume(arguments: argparse.Namespace) -> int:
    """Goes on with one run folder, with the config it holds."""
    folder = run_folder(arguments.folder)
    data_dir = existing(arguments.data_dir, "--data-dir")

    from experiments.runs import runner
    from experiments.runs.signals import Stopped, stop_on_signal

    config, identity = runner.read_folder(folder)
    changes = parse_overrides(arguments.overrides)
    for key, value in changes.items():
        if not key.startswith("mesh."):
            raise InputError(
                f"{key}: {value!r} is not allowed: a run goes on as it is, but for mesh.data, .fsdp, .tensor"
            )
    config = override(config, changes)
    console = joined_console(arguments.hosts)
    rules: dict[str, Any] = {}
    if identity.experiment != "finetune":  # whose runs are of no experiment
        e = experiments.load(identity.experiment)
        rules = {"divergence_is_outcome": e.divergence_is_outcome, "evaluate": e.evaluate}
    with stop_on_signal() as should_stop:
        try:
            runner.run(
                config, folder, identity, data_dir=data_dir, console=console,
                resume_command=resume_command(folder, data_dir), should_stop=should_stop, **rules,
            )  # fmt: skip
        except runner.Interrupted as stopped:
            raise Stopped(f"{folder}: {stopped}") from None
        except TrainingDiverged as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
    return 0


def sample(arguments: argparse.Namespace) -> int:
    """Prints text by the model of a run folder or a weights folder."""
    from experiments.runs.weights import write_text

    texts = write_text(
        arguments.folder, arguments.prompt, tokens=arguments.tokens, temperature=arguments.temperature,
        top_k=arguments.top_k, top_p=arguments.top_p, seed=arguments.seed, samples=arguments.samples,
        report=lambda line: print(line, file=sys.stderr),
    )  # fmt: skip
    print(f"\n{'-' * 40}\n".join(texts))
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Reports on an experiment by name, or on all that a folder holds, fine-tuned tasks too."""
    from experiments.commands import finetuning_commands
    from experiments.runs.results import experiment_folders

    target = arguments.target
    if target in experiments.names():
        folders = {target: arguments.out / target}
        if not folders[target].is_dir():
            raise InputError(f"{folders[target]}: no such folder: {COMMAND} run {target} comes first, or give --out")
    elif Path(target).exists():
        folders = experiment_folders(Path(target))
    else:
        raise unknown("experiment or folder", target, experiments.names())
    for name, folder in folders.items():
        if name == finetuning_commands.NAME:
            finetuning_commands.print_means(folder)
        else:
            print_report(experiments.load(name), folder)
    return 0


def print_report(e: Experiment, folder: Path) -> None:
    """Makes the report of one experiment's folder, and prints its verdicts and its table."""
    from rich.console import Console
    from rich.table import Table

    from experiments.verdicts import report as reports

    console = Console()
    if not console.is_terminal:
        console.width = 140
    made = reports.make_report(e, folder)
    table = Table("arm", "runs", "failed", *e.metrics, title=f"{e.name}: mean ± sd", title_justify="left", box=None)
    for column in table.columns[1:]:
        column.overflow = "fold"
    for arm, runs, failed, _, *means in reports.arms_rows(made):
        table.add_row(arm, runs, failed, *means)
    console.print(table)
    for judged in made.judged:
        if judged.comparison.primary or judged.differences:
            print(reports.verdict_line(judged))
    if made.missing:
        console.print(f"partial: {len(made.missing)} of the scale's runs are not finished", highlight=False)
    print(f"report: {made.path}")


def verify(arguments: argparse.Namespace) -> int:
    """Checks run folders; raises `InputError` that names the first thing that is wrong."""
    from experiments.runs.verify import run_folders, verify_run

    wrong: list[str] = []
    for folder in run_folders(arguments.folder):
        problems = verify_run(folder)
        print(f"{folder}: {'whole' if not problems else f'{len(problems)} problems'}")
        wrong += problems
    for problem in wrong[1:]:
        print(f"  {problem}")
    if wrong:
        raise InputError(wrong[0])
    return 0


def plan(
    e: Experiment, scale: str, arms: tuple[str, ...], seeds: tuple[int, ...], changes: dict[str, Any]
) -> dict[tuple[str, int], RunConfig]:
    """The config of every run, seed by seed, so that a broken-off sweep leaves whole pairs."""
    return {(arm, seed): e.config(arm, scale, seed, changes) for seed in seeds for arm in arms}


def parse_overrides(texts: list[str]) -> dict[str, Any]:
    """["model.n_layer=2"] -> {"model.n_layer": "2"}. Raises `InputError`."""
    changes = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"{text!r} is not allowed: a setting is KEY=VALUE, for example model.n_layer=2")
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


def joined_console(hosts: str | None) -> Any:
    """The terminal of a run, after joining the other processes that `--hosts` names; one process prints."""
    from rich.console import Console

    from gpt_jax.parallel.hosts import initialize, is_writer

    hush_writers()
    initialize(hosts)
    return Console(quiet=not is_writer())


def resume_command(folder: Path, data_dir: Path | None) -> str:
    """What goes on with this run."""
    words = [*COMMAND.split(), "resume", str(folder)]
    return shlex.join(words + (["--data-dir", str(data_dir)] if data_dir is not None else []))
