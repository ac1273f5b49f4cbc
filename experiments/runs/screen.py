"""What a run shows while it goes on: stages, a table, a progress bar, samples. Silent without a console."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from experiments.runs.full_disk import hush_writers
from experiments.runs.signals import leave
from experiments.terminal import Outlasting, make_console
from gpt_jax.parallel.hosts import initialize, is_writer


def joined_console(hosts: str | None) -> Console:
    """The terminal of a run, after joining the other processes that `--hosts` names; one process prints."""
    hush_writers()
    initialize(hosts, leave)
    return outlasting(make_console(quiet=not is_writer()))


def outlasting(console: Console) -> Console:
    """`console`, which goes on in silence where its stream fails: a run does not end for its screen, as with rich."""
    if not (isinstance(console.file, Outlasting) and console.file.always):
        console.file = Outlasting(console.file, always=True)  # type: ignore[assignment]
    return console


def forwards(clock: Callable[[], float] = time.monotonic) -> Callable[[], float]:
    """A clock that stands still where `clock` is set back: no speed and no ETA is negative."""
    latest = -math.inf

    def now() -> float:
        nonlocal latest
        latest = max(latest, clock())
        return latest

    return now


class Screen:
    """A terminal, or none."""

    def __init__(self, console: Console | None, of_sweep: Callable[[float], str] = lambda share: ""):
        """`of_sweep` gets the share of a run that is done, and says what is left of the sweep that it belongs to."""
        self.console = outlasting(Console(quiet=True) if console is None else console)
        self._of_sweep = of_sweep
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._total = 1  # tokens

    def say(self, line: str) -> None:
        """One line, above the progress bar if there is one."""
        self.console.print(Text(line))

    def warn(self, line: str) -> None:
        self.console.print(Text(line, style="yellow"))

    def table(self, title: str, rows: Mapping[str, str]) -> None:
        """Names and values in two columns."""
        table = Table(title=title, show_header=False, title_justify="left", box=None, padding=(0, 1))
        for name, value in rows.items():
            table.add_row(Text(name, style="bold"), Text(value))
        self.console.print(table)

    def sample(self, step: int, text: str) -> None:
        self.console.print(Text(f"sample at step {step:,}", style="bold"))
        self.console.print(Text(text, style="cyan"))

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """A spinner while something of unknown length goes on."""
        with self.console.status(Text(what)):
            yield

    @contextmanager
    def stages(
        self, in_bytes: bool = False, is_training: bool = False
    ) -> Iterator[Callable[[str, int, int | None], None]]:
        """Gives `report(stage, done, total)`: a bar for each stage, with its ETA, and with MB/s if `in_bytes`."""
        speed = (TransferSpeedColumn(), TextColumn("ETA")) if in_bytes else ()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *speed,
            TimeRemainingColumn(),
        )
        tasks = {}
        with Progress(*columns, console=self.console, get_time=forwards(), transient=True) as progress:

            def report(stage: str, done: int, total: int | None) -> None:
                if stage not in tasks:
                    tasks[stage] = progress.add_task(stage)
                progress.update(tasks[stage], completed=done, total=total)
                if is_training and total:
                    self._of_sweep(done / total)

            yield report

    @contextmanager
    def training(self, total: int, done: int) -> Iterator[None]:
        """The bar that `advance` moves, from `done` to `total` tokens."""
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("tokens  {task.fields[status]}"),
            TimeRemainingColumn(),
        )
        with Progress(
            *columns, console=self.console, get_time=forwards(), transient=not self.console.is_terminal
        ) as progress:
            self._progress, self._task = progress, progress.add_task("", total=total, completed=done, status="")
            self._total = total
            self._of_sweep(done / total)
            try:
                yield
            finally:
                self._progress = None

    def advance(self, tokens: int, loss: float, speed: float, utilisation: float | None) -> None:
        """The tokens seen so far, the newest loss (nats/token), tokens/s and MFU (None: unknown)."""
        if self._progress is not None:
            share = "unknown" if utilisation is None or math.isnan(utilisation) else f"{utilisation:.0%}"
            pace = "unknown" if math.isnan(speed) else f"{speed:,.0f}"
            left = self._of_sweep(tokens / self._total)
            status = f"loss {loss:.3f}  {pace} tokens/s  MFU {share}  {left}{'  ' if left else ''}ETA"
            self._progress.update(self._task, completed=tokens, status=status)
