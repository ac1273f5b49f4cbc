"""The ways to make a sweep's runs: in turn, side by side in pinned processes, or together as one program.

Which way is taken decides how soon the sweep ends. It also decides the last bits of what a run computes, because XLA
sums in another order on another number of cores, and for several runs at once. Therefore every `result.json` says how
its run was made.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from rich.console import Console

from experiments.experiment import Experiment
from experiments.runs.full_disk import DiskFull
from experiments.runs.kinds import Lane
from experiments.runs.screen import Screen
from experiments.runs.signals import CommandStopped, stop_on_signal
from experiments.runs.sweep.board import Board, Relay
from experiments.runs.sweep.member import Member, Outcome, carry_out
from experiments.runs.sweep.pace import Pace, costs
from experiments.runs.sweep.pool import Died, core_shares, in_processes
from gpt_jax.errors import InputError, unknown
from gpt_jax.machine import usable_cores

Name = Literal["serial", "jobs", "together"]
AUTO = "auto"
MOST_TOGETHER = 32  # copies in one program, where --jobs names no other number
HOW = (AUTO, *get_args(Name))


@dataclass(frozen=True)
class Way:
    """How a sweep is made; `jobs` is the most runs at once: processes, or copies in one program."""

    name: Name = "serial"
    jobs: int = 1

    def __str__(self) -> str:
        if self.name == "serial":
            return "one run after another"
        if self.name == "together":
            return f"up to {self.jobs} runs of one shape together, as one program"
        return f"{self.jobs} runs side by side, each on {core_words(self.jobs)} of its own"


def core_words(count: int) -> str:
    sizes = sorted({len(share) for share in core_shares(count)})
    return f"{' or '.join(map(str, sizes))} core{'s' if sizes != [1] else ''}"


def choose(how: str, jobs: int | None, members: Sequence[Member], alone: bool = False) -> Way:
    """The way that was asked for. For "auto", the one that benchmarks/sweep.py found quicker (docs/PERFORMANCE.md).

    On a CPU, that is a process for each core, if more than one run is left and more than one core is there. On an
    accelerator, runs of one shape train together. `alone` says that a run is profiled, or is one of several hosts'.

    Raises:
      InputError: another word, more processes than cores, or a way that `alone` does not allow.
    """
    if how not in HOW:
        raise unknown("--how", how, HOW)
    cores, left = usable_cores(), [member for member in members if not member.finished]
    if alone and (how not in (AUTO, "serial") or (jobs or 1) > 1):
        given = f"--jobs: {jobs}" if how in (AUTO, "serial") else f"--how: {how}"
        raise InputError(f"{given} is not allowed with --hosts or --profile: --how serial is")
    if how == "serial" and (jobs or 1) > 1:
        raise InputError(f"--jobs: {jobs} is not allowed with --how serial: --how jobs or together is")
    if how == AUTO:
        how = "serial"
        if jobs is not None:
            how = "jobs" if jobs > 1 else "serial"
        elif len(left) > 1 and not alone:
            how = "together" if not _on_cpu() else "jobs" if cores > 1 else "serial"
    if how == "serial":
        return Way()
    if how == "jobs" and jobs is not None and jobs > cores:
        raise InputError(f"--jobs: {jobs} is not allowed: at most {cores}, the cores that this process may use")
    most = jobs or (cores if how == "jobs" else MOST_TOGETHER)
    return Way("jobs" if how == "jobs" else "together", min(most, max(len(left), 1)))


def _on_cpu() -> bool:
    import jax

    return jax.default_backend() == "cpu"


def make_runs(
    members: Sequence[Member],
    way: Way,
    console: Console,
    e: Experiment | None = None,
    *,
    hosts: str | None = None,
    profile: int = 0,
) -> list[str]:
    """Makes all runs; a line for each that failed. A run that fails does not stop the others. A full disk does.

    Raises:
      InputError: wrong use, as seen at the first of the runs.
      CommandStopped: a signal asked for it.
      DiskFull: there is no room for what a run writes.
    """
    pace = Pace(costs([member.config for member in members]))
    tally = _Tally(members, together=hosts is not None)
    if way.name == "serial":
        _in_turn(members, tally, pace, console, e, hosts, profile)
    else:
        _at_once(members, tally, pace, console, way, e)
    return tally.lost


class _Tally:
    """What came of the runs, by their numbers. Where processes make a run `together`, the others are in the middle of
    what ends one of them, and cannot go on to the next run."""

    def __init__(self, members: Sequence[Member], together: bool = False):
        self._members, self._together = members, together
        self.lost: list[str] = []
        self.stopped: list[str] = []
        self._raise: Exception | None = None  # what ends the sweep

    def take(self, number: int, outcome: Outcome) -> bool:
        """Takes down the outcome; whether the sweep is at its end."""
        member = self._members[number]
        if outcome.details:
            print(outcome.details, file=sys.stderr)
        if outcome.kind == "wrong" and (number == 0 or self._together):
            self._raise = InputError(outcome.line)
        elif outcome.details and self._together:
            self._raise = RuntimeError(outcome.line)
        elif outcome.kind == "full":
            self._raise = self._raise or DiskFull(outcome.line)
        elif outcome.kind == "stopped":
            self.stopped.append(f"{member.folder}: {outcome.line}")
        elif outcome.kind != "done":
            self.lost.append(f"{member.name}: {outcome.line}")
        return self._raise is not None

    def conclude(self) -> None:
        """Raises what ended the sweep, if anything did."""
        if isinstance(self._raise, DiskFull):  # for the other runs too
            for line in self.lost:
                print(f"failed: {line}", file=sys.stderr)
        if self._raise is not None:
            raise self._raise


def _in_turn(
    members: Sequence[Member],
    tally: _Tally,
    pace: Pace,
    console: Console,
    e: Experiment | None,
    hosts: str | None,
    profile: int,
) -> None:
    several = len(members) > 1
    with stop_on_signal() as should_stop:
        for number, member in enumerate(members):
            if several:
                left = f"; {pace}" if pace.ended else ""
                console.rule(
                    f"{member.identity.arm}, seed {member.identity.seed} ({number + 1} of {len(members)}{left})"
                )

            def of_sweep(share: float, number: int = number) -> str:
                pace.progress(number, share)
                return f"({pace})" if several else ""

            if member.finished:
                pace.progress(number, 1.0)
            outcome = carry_out(
                member, rules=e, screen=Screen(console, of_sweep), profile=profile, should_stop=should_stop
            )
            pace.end(number)
            if outcome.kind == "stopped":
                one = not several and (member.folder / "config.json").exists() and not hosts
                raise CommandStopped(f"{member.folder}: {outcome.line}", member.again if one else None)
            if tally.take(number, outcome):
                tally.conclude()


def _at_once(
    members: Sequence[Member], tally: _Tally, pace: Pace, console: Console, way: Way, e: Experiment | None
) -> None:
    board = Board(console, members, pace)
    begun: set[int] = set()

    def finish(number: int, result: Any) -> bool:
        outcome = Outcome("failed", result.reason) if isinstance(result, Died) else result
        board.end(number, outcome)
        begun.add(number)
        return tally.take(number, outcome)

    for number, member in enumerate(members):
        if member.finished:
            pace.progress(number, 1.0)
    with stop_on_signal() as should_stop, board.shown():
        if way.name == "jobs":
            in_processes(members, make_here, core_shares(way.jobs), board.hear, finish, should_stop)
        else:
            _together(members, way.jobs, e, board.hear, finish, should_stop)
    tally.conclude()
    if tally.stopped or len(begun) < len(members):
        for line in tally.lost:
            print(f"failed: {line}", file=sys.stderr)
        done = len(begun) - len(tally.stopped) - len(tally.lost)
        raise CommandStopped("; ".join([*tally.stopped, f"{done} of {len(members)} runs are finished"]))


def _together(
    members: Sequence[Member],
    most: int,
    e: Experiment | None,
    hear: Callable[[int, Any], None],
    finish: Callable[[int, Any], bool],
    should_stop: Callable[[], bool],
) -> None:
    """Runs of one shape as one program, at most so many at once; a run that is the only one of its shape is alone."""
    from experiments.runs.sweep.together import carry_out_together, lanes_for

    ending = False

    def end(number: int, outcome: Outcome) -> None:
        nonlocal ending
        ending |= finish(number, outcome)

    for group in groups(members, most):
        if ending or should_stop():
            return
        lanes = lanes_for(len(group)) if len(group) > 1 else []

        def body(number: int, lane: Lane | None) -> Outcome:
            screen = Relay(lambda message: hear(number, message))
            stopping = lambda: ending or should_stop()  # noqa: E731
            return carry_out(members[number], rules=e, screen=screen, should_stop=stopping, lane=lane)

        if not lanes:
            end(group[0], body(group[0], None))
            continue
        bodies = [partial(body, number, lane) for number, lane in zip(group, lanes, strict=True)]
        carry_out_together(bodies, lanes, lambda n, outcome, group=group: end(group[n], outcome))


def groups(members: Sequence[Member], most: int) -> list[list[int]]:
    """The numbers of runs that train together, `most` at once. Those that are finished already are one by one."""
    from experiments.runs.sweep.together import program_of

    found: dict[Any, list[int]] = {}
    for number, member in enumerate(members):
        program = None if member.finished else program_of(member.config)
        found.setdefault(number if program is None else program, []).append(number)
    return [numbers[n : n + most] for numbers in found.values() for n in range(0, len(numbers), most)]


def make_here(member: Member, send: Any, should_stop: Any) -> Outcome:
    """One run in a process of the pool."""
    from experiments.runs.full_disk import hush_writers

    hush_writers()
    return carry_out(member, screen=Relay(send), should_stop=should_stop, way="jobs")
