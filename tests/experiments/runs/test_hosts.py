"""Two real processes on this machine are one run; killed, it goes on as one process on another mesh."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gpt_jax.errors import InputError
from gpt_jax.parallel.hosts import Hosts, agreed, parse_hosts
from tests.devices import with_devices
from tests.training.saved import flip

ROOT = Path(__file__).parents[3]
STEPS, BATCH = 12, 512
SETTINGS = f"""
run quickstart --scale smoke model.n_layer=1 model.d_model=32 model.matmul_dtype=float32 optimizer.warmup_tokens=0
training.train_tokens={STEPS * BATCH} training.batch_tokens={BATCH} training.checkpoint_every_tokens={4 * BATCH}
training.evaluate_every_tokens={STEPS * BATCH} training.evaluation_tokens=512
training.sample_every_tokens={STEPS * BATCH} training.sample_tokens=2
""".split()


def start(devices: int, arguments: list[str], cache: Path) -> subprocess.Popen:
    env = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": with_devices(devices),
        "GPT_JAX_CACHE": str(cache),
    }
    command = [sys.executable, "-m", "experiments", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    )


def finish(process: subprocess.Popen) -> str:
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out[-3000:]
    return out


def losses(folder: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.slow
def test_two_processes_train_are_killed_and_go_on_as_one_on_another_mesh(tmp_path):
    cache = tmp_path / "cache"
    alone = start(1, [*SETTINGS, "--out", str(tmp_path / "alone")], cache)
    finish(alone)
    expected = losses(tmp_path / "alone/quickstart/gpt/seed-0")
    assert len(expected) == STEPS

    folder, port = tmp_path / "pair/quickstart/gpt/seed-0", free_port()
    mesh = ["mesh.fsdp=4", "mesh.tensor=2"]
    pair = [
        start(4, [*SETTINGS, *mesh, "--out", str(tmp_path / "pair"), "--hosts", f"127.0.0.1:{port},2,{i}"], cache)
        for i in range(2)
    ]
    checkpoints, deadline = folder / "checkpoints", time.time() + 240
    while not any(p.name.isdigit() for p in checkpoints.glob("*")) and time.time() < deadline:
        assert all(p.poll() in (None, 0) for p in pair), [p.communicate()[0][-2000:] for p in pair if p.poll()]
        time.sleep(0.05)
    for process in pair:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    steps = [int(p.name) for p in checkpoints.iterdir() if p.name.isdigit()]
    assert all((checkpoints / str(step) / "digests.json").is_file() for step in steps)
    assert steps and 4 in range(min(steps), STEPS)

    out = finish(start(8, ["resume", str(folder), "mesh.data=2", "mesh.fsdp=4", "mesh.tensor=1"], cache))
    assert "resuming after step" in out or max(steps) == STEPS
    continued = losses(folder)
    assert list(continued) == list(expected), "each step is logged once, by one process"
    np.testing.assert_allclose(list(continued.values()), list(expected.values()), atol=2e-5)
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert result["metrics"]["tokens"] == STEPS * BATCH


@pytest.mark.slow
def test_two_processes_stop_together_and_agree_on_what_is_damaged(tmp_path):
    """One of them gets the signal; both save, end with 0, and later pass over the same damaged checkpoint."""
    steps = 40
    settings = [s if "train_tokens" not in s else f"training.train_tokens={steps * BATCH}" for s in SETTINGS]
    folder, cache = tmp_path / "pair/quickstart/gpt/seed-0", tmp_path / "cache"

    def pair(arguments: list[str]) -> list[subprocess.Popen]:
        port = free_port()
        return [start(4, [*arguments, "--hosts", f"127.0.0.1:{port},2,{i}"], cache) for i in range(2)]

    both = pair([*settings, "mesh.fsdp=4", "mesh.tensor=2", "--out", str(tmp_path / "pair")])
    while not (folder / "checkpoints" / "4").exists():
        assert all(process.poll() is None for process in both), [process.communicate() for process in both]
        time.sleep(0.05)
    both[1].send_signal(signal.SIGTERM)
    for out in map(finish, both):
        assert "its checkpoint is written; go on with: python -m experiments run quickstart" in out
    newest = max((p for p in (folder / "checkpoints").iterdir()), key=lambda p: int(p.name))
    before = int(newest.name) - (int(newest.name) % 4 or 4)
    digests = json.loads((newest / "digests.json").read_text(encoding="utf-8"))
    assert {name.split("/")[1] for name in digests if "ocdbt" in name} >= {"ocdbt.process_0", "ocdbt.process_1"}

    victim = max((p for p in newest.rglob("ocdbt.process_1/d/*")), key=lambda p: p.stat().st_size)
    flip(victim, 77)
    out = [finish(process) for process in pair(["resume", str(folder), "mesh.fsdp=2", "mesh.tensor=2"])]
    assert victim.name in "".join(out[0].split()) and f"resuming after step {before} of {steps}" in out[0]
    assert list(losses(folder)) == list(range(1, steps + 1))
    names = [path.name for path in (folder / "checkpoints").iterdir()]
    assert sorted(names) == sorted([str(steps - 4), str(steps), f"damaged-{newest.name}"])


def test_hosts_are_read_and_nonsense_is_refused():
    assert parse_hosts("10.0.0.1:9911,2,1") == Hosts("10.0.0.1:9911", 2, 1)
    for wrong in ("10.0.0.1,2,1", "a:1,2,2", "a:b,2,0", "a:1", "a:1,2,0,4"):
        with pytest.raises(InputError, match="HOST:PORT,COUNT,INDEX"):
            parse_hosts(wrong)


def test_a_process_alone_stops_when_it_wants_to():
    wish = iter([False, True])
    should_stop = agreed(lambda: next(wish))
    assert [should_stop(), should_stop()] == [False, True]
