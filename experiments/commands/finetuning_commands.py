"""The commands `finetune` and `classify`. They print, and return the exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.commands.commands import existing, parse_overrides, resume_command, writable
from gpt_jax.config import FinetuningConfig, RunConfig, TrainingConfig, override
from gpt_jax.errors import InputError, TrainingDiverged

OVER_SEEDS = "seeds: mean ± sd [95 %]"
# What figures are of: a split, a pair's gap, or a baseline.
SPLITS = ("train/", "validation/", "test/", "ood", "gap/", "relative_gap/", "detection/", "majority/", "bag_of_words/")
NAME = "finetune"  # stands for an experiment in DIR/finetune/TASK/seed-N


def finetune(arguments: argparse.Namespace) -> int:
    """Fine-tunes a model on a task, seed by seed, and prints what came of it beside the baselines."""
    from rich.console import Console

    from experiments.runs import runner
    from experiments.runs.screen import Screen
    from experiments.runs.signals import Stopped, stop_on_signal

    data_dir = existing(arguments.data_dir, "--data-dir")
    configs = configurations(arguments)
    writable(arguments.out)
    console = Console()
    results = {}
    with stop_on_signal() as should_stop:
        for seed, config in configs.items():
            folder = arguments.out / NAME / arm(arguments.task) / f"seed-{seed}"
            identity = runner.RunIdentity(NAME, folder.parent.name, seed, "-")
            if len(configs) > 1:
                console.rule(f"seed {seed}")
            try:
                results[seed] = runner.run(
                    config, folder, identity, data_dir=data_dir, console=console,
                    resume_command=resume_command(folder, data_dir), should_stop=should_stop,
                )  # fmt: skip
            except runner.Interrupted as stopped:
                raise Stopped(f"{folder}: {stopped}") from None
            except TrainingDiverged as error:
                print(f"failed: seed {seed}: {error}", file=sys.stderr)
    if len(results) > 1:
        Screen(console).table(f"{len(results)} {OVER_SEEDS}", over_seeds([r["metrics"] for r in results.values()]))
    return 0 if len(results) == len(configs) else 1


def configurations(arguments: argparse.Namespace) -> dict[int, RunConfig]:
    """The config of each seed: the model is the folder's, the rest is the defaults and what was given."""
    from experiments.runs.weights import load_model

    changes = parse_overrides(arguments.overrides)
    for key in ("finetuning.task", "finetuning.weights", "training.seed"):
        if key in changes:
            raise InputError(f"{key}: {changes[key]!r} is not allowed here: give DIR, --task and --seeds")
    model = override(RunConfig(model=load_model(arguments.folder).config), {"model.scan_layers": False}).model
    settings = FinetuningConfig(task=arguments.task, weights=str(arguments.folder))
    seeds = arguments.seeds or (0,)
    return {
        seed: override(RunConfig(model=model, finetuning=settings, training=TrainingConfig(seed=seed)), changes)
        for seed in seeds
    }


def arm(task: str) -> str:
    """A task's name as that of a folder."""
    return Path(task).resolve().name or "task"


def print_means(folder: Path) -> None:
    """Prints, for each task fine-tuned on in `folder` (DIR/finetune), its figures over the seeds."""
    from rich.console import Console

    from experiments.runs.results import read_result
    from experiments.runs.screen import Screen

    screen = Screen(Console())
    for task in sorted({path.parent.parent for path in folder.glob("*/seed-*/result.json")}):
        results = [read_result(path) for path in sorted(task.glob("seed-*/result.json"))]
        good = [result.metrics for result in results if not result.metrics.get("diverged")]
        lost = f", {len(results) - len(good)} diverged" if len(good) < len(results) else ""
        screen.table(f"{task.name}: {len(results)} {OVER_SEEDS}{lost}", over_seeds(good) if good else {})


def over_seeds(metrics: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Mean and standard deviation of each split's figures, and Student's 95 % interval of the mean."""
    from experiments.verdicts.statistics import mean_and_sd, t_interval

    shown = {}
    for key in metrics[0]:
        values = [m[key] for m in metrics if isinstance(m.get(key), int | float)]
        if key.startswith(SPLITS) and values:
            mean, sd = mean_and_sd(values)
            shown[key] = f"{mean:.4f}"
            if len(values) > 1:
                _, low, high = t_interval(values)
                shown[key] += f" ± {sd:.4f}  [{low:.4f}, {high:.4f}]"
    return shown


def classify(arguments: argparse.Namespace) -> int:
    """Prints the label of a text, a pair of texts, or the best answer to a question, with the probabilities."""
    from experiments.runs.finetuning_session import named, restore
    from gpt_jax.data.tasks import Example

    folder = arguments.folder
    model = restore(folder)
    task = model.task
    texts = tuple(text for text in (arguments.text, arguments.text_b) if text is not None) + tuple(arguments.answer)
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
    for text in texts:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InputError(f"{text!a} is not allowed: valid Unicode text")
    found = model.predict([Example(texts=texts, label=None, id="", group="")])[0]
    if task.regression:
        print(f"{found:.3f}  (from {task.regression[0]:g} to {task.regression[1]:g})")
        return 0
    names = arguments.answer or [str(named(task, n)) for n in range(len(task.labels))]
    for n in sorted(range(len(names)), key=lambda n: -found[n]):
        print(f"{found[n]:.4f}  {names[n]}")
    return 0
