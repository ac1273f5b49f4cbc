"""Which way a sweep is made, what it still takes, and which part of it a machine makes."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from experiments.experiment import RunIdentity
from experiments.runs.signals import CommandStopped
from experiments.runs.sweep import ways
from experiments.runs.sweep.board import Board, Relay
from experiments.runs.sweep.member import Member, Outcome
from experiments.runs.sweep.pace import Pace, duration
from experiments.runs.sweep.pool import Died
from experiments.runs.sweep.ways import Way, choose, make_runs
from experiments.sweep import shard
from gpt_jax.errors import InputError
from tests.experiments.made_up import made_up, write_run


@pytest.fixture
def members(tmp_path):
    e = made_up()
    runs = e.runs("smoke", ("new", "old"), (0, 1))
    return [Member(RunIdentity(e.name, arm, seed, "smoke"), config, tmp_path) for (arm, seed), config in runs.items()]


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(ways, "usable_cores", lambda: 4)


def test_a_cpu_of_several_cores_makes_several_runs_side_by_side(members, four_cores, monkeypatch):
    assert choose("auto", None, members) == Way("jobs", 4)
    assert choose("auto", None, members[:3]) == Way("jobs", 3)
    assert choose("auto", None, members[:1]) == Way()
    assert choose("auto", None, members, alone=True) == Way()
    assert choose("serial", None, members) == choose("auto", 1, members) == Way()
    assert choose("auto", 3, members) == Way("jobs", 3)
    monkeypatch.setattr(ways, "usable_cores", lambda: 1)
    assert choose("auto", None, members) == Way()


def test_an_accelerator_trains_runs_of_one_shape_together(members, monkeypatch):
    monkeypatch.setattr(ways, "_on_cpu", lambda: False)
    assert choose("auto", None, members) == choose("together", None, members) == Way("together", 4)
    assert choose("together", 3, members) == Way("together", 3)
    assert choose("auto", None, members[:1]) == choose("auto", None, members, alone=True) == Way()
    assert ways.groups(members, 9) == [[0, 2], [1, 3]]  # new and old differ in the norm
    assert ways.groups(members * 2, 3) == [[0, 2, 4], [6], [1, 3, 5], [7]]


def test_runs_that_are_finished_ask_for_no_process(members, four_cores, tmp_path):
    for arm, seed in (("new", 0), ("old", 0), ("new", 1)):
        write_run(tmp_path, made_up(), arm, seed)
    assert choose("auto", None, members) == Way()


@pytest.mark.parametrize(
    "how, jobs, alone, said",
    [
        ("auto", 5, False, "--jobs: 5 is not allowed: at most 4"),
        ("auto", 2, True, "--jobs: 2 is not allowed with --hosts or --profile"),
        ("serial", 2, False, "--jobs: 2 is not allowed with --how serial"),
        ("jobs", None, True, "--how: jobs is not allowed with --hosts or --profile"),
        ("job", None, False, "unknown --how 'job': did you mean 'jobs'"),
    ],
)
def test_a_way_that_is_not_there_is_refused(members, four_cores, how, jobs, alone, said):
    with pytest.raises(InputError, match=said):
        choose(how, jobs, members, alone)


def test_parts_of_a_sweep_are_the_sweep_and_differ_by_one_run_at_most():
    for size in range(12):
        runs = list(range(size))
        for count in range(1, 8):
            parts = [list(shard(runs, (number, count))) for number in range(1, count + 1)]
            assert [run for part in parts for run in part] == runs
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_what_is_left_follows_the_costs_and_leaves_out_what_was_done_before():
    now = [0.0]
    pace = Pace([1.0, 3.0, 1.0, 1.0], clock=lambda: now[0])
    assert pace.seconds_left is None and "not known" in str(pace)
    pace.progress(3, 0.5)  # a run that was begun before
    now[0] = 10.0
    pace.progress(0, 1.0)  # unit costs: skipped, as it was finished before
    pace.end(0)
    assert pace.seconds_left is None
    pace.progress(1, 0.0)
    pace.progress(1, 1 / 3)
    assert pace.seconds_left == pytest.approx(10 * (2 + 1 + 0.5))
    assert pace.share == pytest.approx(2.5 / 6)
    assert str(pace) == "1 of 4 runs; about 35 s left"
    for number in (1, 2, 3):
        pace.end(number)
    assert pace.seconds_left == 0 and str(pace) == "4 of 4 runs"


def test_a_duration_is_for_people():
    assert [duration(s) for s in (0.4, 59, 61, 5000)] == ["0 s", "59 s", "1 min", "1 h 23 min"]


def shown(members, act):
    out = io.StringIO()
    console = Console(file=out, width=140)
    board = Board(console, members, Pace([1.0] * len(members)))
    with board.shown():
        act(board)
    return out.getvalue().rstrip().splitlines()  # older versions of rich leave an empty line


def test_where_nobody_watches_each_event_is_one_line(members):
    def act(board):
        relay = Relay(lambda message: board.hear(2, message))
        relay.say("step 4: validation 3.1 nats/token")
        with relay.training(100, 0):
            relay.advance(50, 3.0, 7.0, None)
        relay.table("result", {"validation": "2.4 bits/byte", "speed": "9 tokens/s", "folder": "f"})
        board.end(2, Outcome("done"))
        board.end(0, Outcome("failed", "loss is nan"))

    assert shown(members, act) == [
        "new seed 1  step 4: validation 3.1 nats/token",
        "new seed 1  result: validation 2.4 bits/byte; speed 9 tokens/s",
        "new seed 1  done (1 of 4 runs; about 0 s left)",
        "new seed 0  failed: loss is nan (2 of 4 runs; about 0 s left)",
    ]


def finishing(monkeypatch, results):
    """Has the pool give `results` by the members' numbers; those not there are never begun."""

    def in_processes(tasks, act, shares, hear, finish, should_stop):
        for number, result in results.items():
            if finish(number, result):
                return

    monkeypatch.setattr(ways, "in_processes", in_processes)


def quiet():
    return Console(quiet=True)


def test_a_failure_in_one_process_is_a_line_and_loses_no_other(members, monkeypatch):
    dead = Died(-9)
    outcomes = {0: Outcome("done"), 1: Outcome("failed", "loss is nan"), 2: dead, 3: Outcome("wrong", "no data")}
    finishing(monkeypatch, outcomes)
    assert make_runs(members, Way("jobs", 1), quiet()) == [
        "old seed 0: loss is nan",
        "new seed 1: its process ended with signal 9",
        "old seed 1: no data",
    ]


def test_wrong_use_at_the_first_run_ends_the_sweep(members, monkeypatch):
    finishing(monkeypatch, {1: Outcome("done"), 0: Outcome("wrong", "data: bad")})
    with pytest.raises(InputError, match="data: bad"):
        make_runs(members, Way("jobs", 1), quiet())


def test_a_sweep_that_was_stopped_says_what_is_kept(members, monkeypatch):
    finishing(monkeypatch, {0: Outcome("done"), 1: Outcome("stopped", "stopped at step 3: its checkpoint is written")})
    with pytest.raises(CommandStopped, match=r"old/seed-0: stopped at step 3.*; 1 of 4 runs are finished") as stopped:
        make_runs(members, Way("jobs", 1), quiet())
    assert stopped.value.go_on is None  # the same command


# --- for real ---

MOST = 600  # seconds that a command may take on a busy machine
SETTINGS = ["data.tokenizer=bytes", "model.vocab_size=257", "training.train_tokens=2e5"]


def start(out, *words, cores=None):
    argv = ["run", "quickstart", "--scale", "smoke", "--out", out, *words, *SETTINGS]
    command = [sys.executable, "-m", "experiments", *map(str, argv)]
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    return subprocess.Popen(command, preexec_fn=pin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def log_of(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines]


def wait_for(true, process=None):
    until = time.monotonic() + MOST
    while not true():
        assert (process is None or process.poll() is None) and time.monotonic() < until, "it ended, or hangs"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="takes two cores")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_that_is_stopped_or_killed_goes_on_and_equals_runs_made_alone_on_as_many_cores(tmp_path, number):
    home = tmp_path / "jobs" / "quickstart" / "gpt"
    command = start(tmp_path / "jobs", "--seeds", "0:3", "--jobs", "2")
    logs = [home / f"seed-{seed}" / "metrics.jsonl" for seed in (0, 1)]
    wait_for(
        lambda: all(log.exists() and log.read_text(encoding="utf-8").count("train/loss") > 3 for log in logs), command
    )
    command.send_signal(number)
    _, err = command.communicate(timeout=MOST)
    assert "Traceback" not in err
    if number == signal.SIGTERM:
        last = err.splitlines()[-1]
        assert command.returncode == 0 and last.count("its checkpoint is written") == 2, err
        assert "0 of 3 runs are finished; go on with: python -m experiments run quickstart" in last
    wait_for(lambda: not list(home.glob("seed-*/.lock")))  # whose parent is gone, saves and leaves
    kept = {path.parents[1].name for path in home.glob("seed-*/checkpoints/[0-9]*")}
    assert kept == {"seed-0", "seed-1"} and not list(home.glob("*/result.json"))
    again = start(tmp_path / "jobs", "--seeds", "0:3", "--jobs", "2")
    out, err = again.communicate(timeout=MOST)
    assert again.returncode == 0 and "3 of 3 runs" in out, err
    alone = start(tmp_path / "alone", "--seeds", "1", "--how", "serial", cores={min(os.sched_getaffinity(0))})
    assert alone.wait(MOST) == 0
    ours, theirs = home / "seed-1", tmp_path / "alone" / "quickstart" / "gpt" / "seed-1"
    assert log_of(ours) == log_of(theirs)
    assert (ours / "samples.txt").read_bytes() == (theirs / "samples.txt").read_bytes()
    how = json.loads((ours / "result.json").read_text(encoding="utf-8"))["how"]
    assert how == {"way": "jobs", "cores": 1}


@pytest.mark.slow
def test_parts_made_on_two_machines_and_copied_together_are_one_sweep(tmp_path):
    for number in (1, 2):
        made = start(tmp_path / str(number), "--seeds", "0:3", "--shard", f"{number}/2", "--how", "serial")
        out, err = made.communicate(timeout=MOST)
        assert made.returncode == 0 and "copy the parts into one" in out, err
        shutil.copytree(tmp_path / str(number), tmp_path / "all", dirs_exist_ok=True)
    whole = start(tmp_path / "all", "--seeds", "0:3", "--how", "serial")
    out, err = whole.communicate(timeout=MOST)
    assert whole.returncode == 0 and out.count("is finished: nothing to do") == 3, err
    assert "gpt" in (tmp_path / "all" / "quickstart" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("outcome", "error"),
    [(Outcome("wrong", "a.b: no"), InputError), (Outcome("failed", "KeyError: 1", "a traceback"), RuntimeError)],
)
def test_processes_that_make_runs_together_end_at_the_first_that_fails_in_one_of_them(members, outcome, error):
    alone, together = ways._Tally(members), ways._Tally(members, together=True)
    assert not alone.take(1, outcome) and alone.lost
    assert together.take(1, outcome)
    with pytest.raises(error, match=outcome.line):
        together.conclude()
    diverged = ways._Tally(members, together=True)
    assert not diverged.take(1, Outcome("failed", "the loss is nan")), "it is so in all processes"
