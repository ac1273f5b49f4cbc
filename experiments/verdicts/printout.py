"""What the commands print of results: a claim's report, and fine-tunings over their seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.runs.results import read_result
from experiments.runs.screen import Screen
from experiments.terminal import make_console, print_whole
from experiments.verdicts import report as reports
from experiments.verdicts.sources import Runs
from experiments.verdicts.statistics import mean_and_sd, t_interval

# What a fine-tuning's figures are of: a split, a pair's gap, or a baseline.
SPLITS = ("train/", "validation/", "test/", "ood", "gap/", "relative_gap/", "detection/", "majority/", "bag_of_words/")


def print_report(read: Runs, folder: Path) -> None:
    """Makes the report of the runs of one experiment in `folder`, and prints its verdicts and its table."""
    console, e = make_console(), read.experiment
    made = reports.make_report(read, folder)
    table = Table("arm", "runs", "failed", *e.metrics, title=f"{e.name}: mean ± sd", title_justify="left", box=None)
    for column in table.columns[1:]:
        column.overflow = "fold"
    for arm, runs, failed, _, *means in reports.arms_rows(made):
        table.add_row(arm, runs, failed, *means)
    print_whole(console, table)
    for judged in made.judged:
        if judged.comparison.primary or judged.differences:
            print(reports.verdict_line(judged))
    for line in read.findings:
        print(line)
    if made.missing:
        console.print(f"partial: {len(made.missing)} of the scale's runs are not finished")
    print(f"read: {read.where}\nreport: {made.path}")


def print_named_runs(folder: Path) -> None:
    """Prints, for each task in DIR/finetune or each recipe in DIR/train (`folder`), its figures over the seeds."""
    console = make_console()
    for named in sorted({path.parent.parent for path in folder.glob("*/seed-*/result.json")}):
        results = [read_result(path) for path in sorted(named.glob("seed-*/result.json"))]
        good = [result.metrics for result in results if not result.metrics.get("diverged")]
        lost = f", {len(results) - len(good)} diverged" if len(good) < len(results) else ""
        print_over_seeds(console, good, f"{named.name}: {len(results)}", lost)


def print_over_seeds(console: Console, metrics: Sequence[Mapping[str, Any]], before: str, after: str = "") -> None:
    """A table of `over_seeds`; its title starts with `before` and ends with `after`."""
    Screen(console).table(f"{before} seeds: mean ± sd [95 %]{after}", over_seeds(metrics))


def over_seeds(metrics: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Mean and standard deviation of each split's figures, and Student's 95 % interval of the mean."""
    shown = {}
    for key in dict.fromkeys(key for run in metrics for key in run if key.startswith(SPLITS)):
        values = [run[key] for run in metrics if isinstance(run.get(key), int | float)]
        if values:
            mean, sd = mean_and_sd(values)
            shown[key] = f"{mean:.4f}"
            if len(values) > 1:
                _, low, high = t_interval(values)
                shown[key] += f" ± {sd:.4f}  [{low:.4f}, {high:.4f}]"
    return shown
