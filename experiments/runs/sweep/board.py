"""One screen for runs that go on side by side: a line for each of them, and one for the sweep with its ETA.

A run in another process has a `Relay` for its screen, and the process of the command has the `Board`. Where nobody
watches a terminal, each event is one line.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from experiments.runs.screen import Screen
from experiments.runs.sweep.member import Member, Outcome
from experiments.runs.sweep.pace import Pace

Message = tuple[str, Any]  # "say", "warn" or "doing" and a text; "progress" and (share, text)
TELL_EVERY = 0.2  # seconds between two messages of progress


class Relay(Screen):
    """A screen that sends what it is shown. Samples stay in the run's folder."""

    def __init__(self, send: Callable[[Message], None]):
        super().__init__(None)
        self._send, self._told = send, 0.0

    def say(self, line: str) -> None:
        self._send(("say", line.strip()))

    def warn(self, line: str) -> None:
        self._send(("warn", line.strip()))

    def table(self, title: str, rows: Mapping[str, str]) -> None:
        if title == "result":
            first = [f"{name} {value}" for name, value in rows.items() if value][:2]
            self._send(("say", f"{title}: {'; '.join(first)}"))

    def sample(self, step: int, text: str) -> None:
        pass

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        self._send(("doing", what))
        yield

    @contextmanager
    def stages(
        self, in_bytes: bool = False, is_training: bool = False
    ) -> Iterator[Callable[[str, int, int | None], None]]:
        def report(stage: str, done: int, total: int | None) -> None:
            if is_training and total:
                self._progress_of(done / total, stage, done in (0, total))
            elif total:
                self._tell(("doing", f"{stage} {done / total:.0%}"))

        yield report

    @contextmanager
    def training(self, total: int, done: int) -> Iterator[None]:
        self._total = total
        self._progress_of(done / total, "training", always=True)
        yield

    def advance(self, tokens: int, loss: float, speed: float, utilisation: float | None) -> None:
        pace = "" if math.isnan(speed) else f"  {speed:,.0f} tokens/s"
        self._progress_of(tokens / self._total, f"loss {loss:.3f}{pace}", always=tokens >= self._total)

    def _progress_of(self, share: float, status: str, always: bool = False) -> None:
        self._tell(("progress", (share, status)), always)

    def _tell(self, message: Message, always: bool = False) -> None:
        now = time.monotonic()
        if always or now - self._told >= TELL_EVERY:
            self._told = now
            self._send(message)


class Board:
    """The screen of a sweep. Runs go by their numbers, from 0."""

    def __init__(self, console: Console, members: Sequence[Member], pace: Pace):
        self._console, self._members, self._pace = console, members, pace
        self._lines: dict[int, TaskID] = {}
        self._width = max((len(member.name) for member in members), default=0)
        name = TextColumn(f"{{task.fields[name]:<{self._width}}}", markup=False)
        columns = (name, BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.fields[status]}"))
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    @contextmanager
    def shown(self) -> Iterator[None]:
        with self._bars:
            self._whole = self._bars.add_task("", total=1.0, name="sweep", status=str(self._pace))
            yield

    def hear(self, number: int, message: Message) -> None:
        """What the screen of run `number` was shown."""
        kind, content = message
        if number not in self._lines:
            self._lines[number] = self._bars.add_task("", total=1.0, name=self._members[number].name, status="")
        if kind in ("say", "warn"):
            self._print(number, content, "yellow" if kind == "warn" else "")
            return
        share, status = content if kind == "progress" else (None, content)
        if share is not None:
            self._pace.progress(number, share)
            self._bars.update(self._lines[number], completed=share)
        self._bars.update(self._lines[number], status=status)
        self._bars.update(self._whole, completed=self._pace.share, status=str(self._pace))

    def end(self, number: int, outcome: Outcome) -> None:
        """Run `number` is over."""
        self._pace.end(number)
        if number in self._lines:
            self._bars.remove_task(self._lines.pop(number))
        said = {"done": "done", "stopped": outcome.line}.get(outcome.kind, f"failed: {outcome.line}")
        left = "" if outcome.kind == "stopped" else f" ({self._pace})"
        self._print(number, f"{said}{left}", "" if outcome.kind in ("done", "stopped") else "red")
        self._bars.update(self._whole, completed=self._pace.share, status=str(self._pace))

    def _print(self, number: int, line: str, style: str) -> None:
        self._console.print(Text(f"{self._members[number].name:<{self._width}}  {line}", style=style), soft_wrap=True)
