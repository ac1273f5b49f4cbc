"""A run folder has one writer, knows its data, outlives power cuts, and what can be known to fail is said at once."""

import errno
import fcntl
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import namedtuple

import pytest
from rich.console import Console

from experiments.cli import main
from experiments.runs import preflight, runner
from experiments.runs.folder import LOCK, held
from experiments.runs.screen import Screen, forwards
from gpt_jax.config import override
from gpt_jax.errors import InputError
from tests.experiments.runs.real import assert_same_run, run, stop_at
from tests.training.tiny import TINY

slow = lambda *values: pytest.param(*values, marks=pytest.mark.slow)  # noqa: E731
DAY = 86_400.0  # seconds
HOLD = """
import sys
from pathlib import Path
from experiments.runs.folder import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def copy(half, tmp_path):
    shutil.copytree(half, tmp_path / "run")
    return tmp_path / "run"


def refused(capsys, *argv):
    """The one line of a command that is refused."""
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1, err
    return err


def test_a_second_process_is_refused_by_name_and_death_releases(copy, text, capsys):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(copy)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    said = refused(capsys, "resume", copy, "--data-dir", text)
    assert f"{copy} is being written by process {holder.pid} on {os.uname().nodename}: one process" in said
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before
    holder.kill()
    holder.communicate()
    with held(copy):
        pass
    assert not (copy / LOCK).exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL])
def test_a_file_system_without_locks_is_not_an_error(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with held(tmp_path):
        assert (tmp_path / LOCK).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_of_other_data_is_refused_and_of_absent_data_is_not(finished, text, tmp_path, capsys):
    folder, result = finished
    shutil.copytree(text, tmp_path / "data")
    assert run(folder, tmp_path / "data") == result  # the same text at another place
    with (tmp_path / "data" / "text.txt").open("a", encoding="utf-8") as file:
        file.write("more")
    said = refused(capsys, "resume", folder, "--data-dir", tmp_path / "data")
    assert f"{folder} is finished, on data of digest" in said and "only the same is allowed" in said
    assert main(["resume", str(folder)]) == 0
    assert "its data was not found, and is not compared" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("content", [slow(b""), b"\0" * 600])
def test_a_result_that_a_power_cut_emptied_is_made_again(finished, text, tmp_path, content):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    (folder / "result.json").write_bytes(content)
    run(folder, text)
    assert_same_run(folder, finished[0])


@pytest.mark.parametrize("tail", [*map(slow, (b"\0" * 900, b'{"step": 9, "tok')), b'{"step": 9}\0\0\n\0\0\0'])
def test_a_metrics_file_with_a_blank_end_is_cut_there(copy, finished, text, tail):
    with (copy / "metrics.jsonl").open("ab") as file:
        file.write(tail)
    run(copy, text)
    assert_same_run(copy, finished[0])


def test_an_empty_metrics_file_of_a_trained_run_is_measured_again(finished, text, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    (folder / "result.json").unlink()
    (folder / "metrics.jsonl").write_bytes(b"")
    metrics = run(folder, text)["metrics"]
    assert metrics["validation/loss"] == finished[1]["metrics"]["validation/loss"]
    assert metrics["train/loss"] is None and metrics["time/tokens_per_second"] is None


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl"])
def test_files_that_cannot_be_made_again_are_named(copy, text, capsys, name):
    content = b"\0" * 100 if name == "config.json" else b'{"step": 1\n' + (copy / name).read_bytes()
    (copy / name).write_bytes(content)
    assert name in refused(capsys, "resume", copy, "--data-dir", text)


def test_an_empty_tokenizer_is_written_again(copy, finished, text):
    for path in (copy / "tokenizer").iterdir():
        path.unlink()
    run(copy, text)
    assert [path.name for path in (copy / "tokenizer").iterdir()] == [
        path.name for path in (finished[0] / "tokenizer").iterdir()
    ]


@pytest.mark.parametrize("prompt, said", [("x" * 16, "its 16 tokens leave no room"), ("\ud800", "valid Unicode")])
def test_a_prompt_that_cannot_be_continued_is_refused_before_the_data_is_read(
    text, tmp_path, monkeypatch, prompt, said
):
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"training\.sample_prompt") as refusal:
        run(tmp_path / "run", text, override(TINY, {"training.sample_prompt": prompt}))
    assert said in str(refusal.value)
    assert not (tmp_path / "run").exists() and not (tmp_path / "cache" / "corpora").exists()


def test_a_disk_without_room_for_the_checkpoints_is_refused_with_both_figures(text, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda place: usage(0, 0, 100 << 10))
    with pytest.raises(InputError, match=r"checkpoints that training keeps need [\d.]+ KiB and .* room for 100 KiB"):
        run(tmp_path / "run", text)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def read_only(copy):
    """The run folder on a file system that is only read."""
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "--bind", copy, copy], capture_output=True).returncode:
        pytest.skip("a folder cannot be mounted on itself: that takes root")
    subprocess.run([mount, "-o", "remount,bind,ro", copy], check=True)
    yield copy
    subprocess.run(["umount", copy], check=True)


def test_a_read_only_run_is_sampled_from_and_resuming_it_is_refused(read_only, text, capsys):
    assert main(["sample", str(read_only), "--prompt", "to", "--tokens", "2"]) == 0
    assert capsys.readouterr().out.startswith("to")
    assert str(read_only) in (said := refused(capsys, "resume", read_only, "--data-dir", text))
    assert "Read-only file system" in said


@pytest.mark.slow
def test_clocks_that_jump_change_no_number_but_the_clocks(finished, text, tmp_path, monkeypatch):
    """Days back and forth, in a run that is stopped and resumed, and whose files are of 1970 and of the year 2096."""
    folder, shown, rng = tmp_path / "run", io.StringIO(), random.Random(0)

    def jumping(real):
        return lambda: real() + rng.choice([0.0, 5.0, -5.0, 7200.0, -7200.0, 400 * DAY, -400 * DAY])

    for name in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, jumping(getattr(time, name)))
    screen = Screen(Console(file=shown, force_terminal=True, width=200))
    with pytest.raises(runner.Interrupted):
        run(folder, text, should_stop=stop_at(folder, 6), screen=screen)
    for path in folder.rglob("*"):
        os.utime(path, (0, 0) if rng.random() < 0.5 else (4e9, 4e9))
    run(folder, text, screen=screen)
    monkeypatch.undo()
    assert_same_run(folder, finished[0])
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(line.get("time/tokens_per_second") is None or line["time/tokens_per_second"] > 0 for line in lines)
    assert not re.search(r"-[\d.,]+ (tokens/s|FLOP|s in all)|MFU -|ETA \S*-\d", shown.getvalue())


def test_no_time_runs_backwards_on_the_screen():
    readings = iter([5.0, 3.0, -400 * DAY, 6.0])
    now = forwards(lambda: next(readings))
    assert [now() for _ in range(4)] == [5.0, 5.0, 5.0, 6.0]


@pytest.mark.slow
def test_a_run_goes_on_from_wherever_it_was_moved_to(finished, copy, text, tmp_path):
    moved = tmp_path / "another disk" / "seed-0"
    moved.parent.mkdir()
    shutil.move(copy / "checkpoints", tmp_path / "elsewhere")
    (copy / "checkpoints").symlink_to(tmp_path / "elsewhere")  # as people do who run out of room
    shutil.move(copy, moved)
    run(moved, text)
    assert_same_run(moved, finished[0])
