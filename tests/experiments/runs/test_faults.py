"""What can go wrong while a run trains, done to real runs: signals, damaged files, a full disk, a NaN.

Each ends in a run that equals an uninterrupted one bit by bit, or in one line that says what happened.
`GPT_JAX_FAULT_SEED` sets the damaged bits. test_kills.py has the kills at random moments.
"""

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from experiments.cli import main
from experiments.runs import runner
from experiments.runs.pretraining import session
from gpt_jax.data.prepare import prepare
from gpt_jax.errors import InputError, TrainingDiverged
from tests.experiments.runs.real import assert_same_run, lines_without_clocks, run
from tests.training.saved import DAMAGES, files_of, flip
from tests.training.tiny import TINY

RNG = random.Random(int(os.environ.get("GPT_JAX_FAULT_SEED", "1")))


def trained(folder):
    """Steps that `metrics.jsonl` holds."""
    log = folder / "metrics.jsonl"
    return log.read_text(encoding="utf-8").count("train/loss") if log.exists() else 0


def wait_for(true, process, seconds=240):
    until = time.monotonic() + seconds
    while not true():
        assert process.poll() is None and time.monotonic() < until, "the process ended, or hangs"
        time.sleep(0.002)


def start(*command):
    command = [sys.executable, *map(str, command)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def cli(*argv):
    return start("-m", "experiments", *argv)


slow = lambda *values: pytest.param(*values, marks=pytest.mark.slow)  # noqa: E731


@pytest.mark.parametrize("kind", [slow("truncated"), "flipped", slow("deleted")])
def test_a_run_with_a_damaged_checkpoint_names_it_and_goes_on_from_the_one_before(
    half, finished, text, tmp_path, capsys, kind
):
    folder = tmp_path / "run"
    shutil.copytree(half, folder)
    victim = RNG.choice([path for path in files_of(folder / "checkpoints" / "9") if path.name != "digests.json"])
    if kind == "flipped":
        flip(victim, RNG.randrange(10**6))
    else:
        DAMAGES[kind](victim)
    assert main(["resume", str(folder), "--data-dir", str(text)]) == 0
    out = "".join(capsys.readouterr().out.split())  # the terminal's lines are broken anywhere
    assert f"checkpoint{folder / 'checkpoints' / '9'}isdamaged" in out and victim.name in out
    assert "resumingafterstep8" in out
    assert_same_run(folder, finished[0])
    assert (folder / "checkpoints" / "damaged-9").is_dir()


def test_a_run_whose_checkpoints_are_all_damaged_stops_with_one_line(half, text, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(half, folder)
    for step in ("8", "9"):
        flip(max(files_of(folder / "checkpoints" / step), key=lambda path: path.stat().st_size), 100)
    assert main(["resume", str(folder), "--data-dir", str(text)]) == 2
    assert f"error: {folder / 'checkpoints'}: no checkpoint can be read" in capsys.readouterr().err


def test_a_flipped_bit_of_a_token_shard_is_named_before_training(half, text, tmp_path, monkeypatch):
    folder, shard = copied(half, text, tmp_path, monkeypatch)
    flip(shard, RNG.randrange(10**6))
    with pytest.raises(InputError, match=f"{shard.name}.*is missing or damaged: delete"):
        run(folder, text)


@pytest.mark.parametrize("places", [slow([1 << 16]), range(100, 8000, 50)], ids=["postscript", "records"])
def test_a_flip_in_a_large_shard_is_named_when_it_is_read(half, text, tmp_path, monkeypatch, places):
    """A large file of the same size and time is not hashed at opening; ArrayRecord's own hashes see the flip."""
    monkeypatch.setattr("gpt_jax.disk.ALWAYS_HASHED", 0)
    folder, shard = copied(half, text, tmp_path, monkeypatch)
    with pytest.raises(runner.Interrupted):
        run(folder, text, should_stop=lambda: True)  # hashes the files, and remembers it
    stat = shard.stat()
    for place in places:
        flip(shard, place)
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(InputError, match=f"{shard.name}.*is missing or damaged: delete"):
        run(folder, text)


def copied(folder, text, tmp_path, monkeypatch):
    """A run folder and a shard of its data in a cache of its own, to be damaged."""
    shutil.copytree(folder, tmp_path / "run")
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path / "cache"))
    prepare(TINY.data, vocab_size=257, context_length=16, data_dir=text)
    (shard,) = (tmp_path / "cache").rglob("train-*.array_record")
    return tmp_path / "run", shard


@pytest.mark.parametrize("step, kept", [slow(1, "no checkpoint was due yet"), slow(6, "step 4 is"), (8, "step 4 is")])
def test_a_nan_stops_the_run_at_its_step_and_the_last_good_checkpoint_goes_on(
    finished, text, tmp_path, monkeypatch, step, kept
):
    """Step 8 is one of which a checkpoint is due: it must not hold the NaN."""
    compile_step = session.compile_step

    def poisoned(*arguments):
        compiled, memory = compile_step(*arguments)

        def train_step(state, *rest):
            if int(state.step) == step - 1:
                state = dataclasses.replace(state, params=jax.tree.map(lambda x: x * np.nan, state.params))
            return compiled(state, *rest)

        return train_step, memory

    monkeypatch.setattr(session, "compile_step", poisoned)
    with pytest.raises(TrainingDiverged, match=rf"is nan at step {step}: stopped; .*{kept}.*optimizer\.learning_rate"):
        run(tmp_path, text)
    monkeypatch.undo()
    run(tmp_path, text)
    assert_same_run(tmp_path, finished[0])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_with_0_and_the_command_that_goes_on(text, tmp_path, number):
    argv = ["run", "quickstart", "--scale", "smoke", "--data-dir", text, "--out", tmp_path, "model.vocab_size=257"]
    argv += ["data.tokenizer=bytes", "training.train_tokens=1e7"]
    folder = tmp_path / "quickstart" / "gpt" / "seed-0"
    process = cli(*argv)
    wait_for(lambda: trained(folder) >= 3, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "once more stops at once" in err and "Traceback" not in err
    last = err.splitlines()[-1]
    assert "its checkpoint is written" in last
    assert last.endswith(f"go on with: python -m experiments resume {folder} --data-dir {text}")
    step = int(last.partition("stopped at step ")[2].partition(":")[0])
    assert [path.name for path in (folder / "checkpoints").iterdir() if path.name == str(step)]
    resumed = cli(*last.partition("python -m experiments ")[2].split())
    wait_for(lambda: trained(folder) >= step + 3, resumed)
    resumed.send_signal(number)
    _, err = resumed.communicate(timeout=120)
    assert resumed.returncode == 0 and "its checkpoint is written; go on with: python -m experiments resume" in err


DEAF = """
import hashlib, sys
from experiments.runs.signals import stop_on_signal
with stop_on_signal() as should_stop:
    print("deaf", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes in which no Python runs in this thread
"""


def test_a_second_signal_stops_at_once_even_where_no_python_runs():
    process = start("-c", DEAF)
    try:
        assert process.stdout and process.stderr and process.stdout.readline() == "deaf\n"
        time.sleep(1)  # until it is deaf
        process.send_signal(signal.SIGTERM)
        assert process.stderr.readline() + process.stderr.readline() != ""  # it is answered, though nothing else moves
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        process.communicate(timeout=60)
        assert process.returncode == 130 and time.monotonic() - began < 30
    finally:
        process.kill()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small tmpfs cannot be mounted: that takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def resumed_without_room(folder, text, program=("-m", "experiments")):
    """`resume` in a process of its own, for which there is no room: asserts how it ends."""
    before = {step: contents(folder / "checkpoints" / step) for step in ("8", "9")}
    process = start(*program, "resume", folder, "--data-dir", text)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 1, err
    assert err.count("\n") == 1 and err.startswith(f"failed: {folder}: cannot be written: "), err
    assert f"make room and go on with: python -m experiments resume {folder}" in err
    assert {step: contents(folder / "checkpoints" / step) for step in ("8", "9")} == before
    return err


@pytest.mark.slow
@pytest.mark.parametrize("free", [slow(0), slow(4 << 10), 64 << 10])
def test_a_full_disk_loses_nothing_that_was_there(half, finished, text, small_disk, free):
    """No room for a line of the log, for the log but not the samples, for both but not a checkpoint."""
    folder = small_disk / "run"
    shutil.copytree(half, folder)
    disk = os.statvfs(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(max(disk.f_bavail * disk.f_frsize - free, 0)))
    logged = lines_without_clocks(folder)
    assert "No space left on device" in resumed_without_room(folder, text)
    assert lines_upto(folder, 9) == logged
    ballast.unlink()
    run(folder, text)
    assert_same_run(folder, finished[0])


LIMITED = """
import resource, sys
from experiments.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10, 16 << 10))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_limit_on_the_size_of_files_is_like_a_full_disk(half, finished, text, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(half, folder)
    assert "File too large" in resumed_without_room(folder, text, ("-c", LIMITED))
    run(folder, text)
    assert_same_run(folder, finished[0])


def lines_upto(folder, step):
    text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1].splitlines()
    found = [{k: v for k, v in json.loads(line).items() if not k.startswith("time/")} for line in whole]
    return [line for line in found if line["step"] <= step]
