"""kill -9 at a hundred random moments of a run, of its start-up, its evaluations and its saves among them.

`GPT_JAX_FAULT_SEED` sets the moments, and `GPT_JAX_FAULT_KILLS` how many there are.
"""

import contextlib
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

from experiments.runs.weights import restore
from gpt_jax.config import override, to_dict
from tests.experiments.runs.real import lines_without_clocks, run
from tests.training.tiny import TINY

RNG = random.Random(int(os.environ.get("GPT_JAX_FAULT_SEED", "1")))
KILLS = int(os.environ.get("GPT_JAX_FAULT_KILLS", "100"))
STEPS = 30
# A step is short, and each is evaluated and saved: a kill falls into most of what a run does.
BUSY = override(
    TINY,
    {
        "model.n_layer": 1,
        "training.train_tokens": 64 * STEPS,
        "training.checkpoint_every_tokens": 64,
        "training.keep_last": 1000,
        "training.evaluate_every_tokens": 64,
        "training.evaluation_tokens": 64,
        "training.sample_every_tokens": 64 * 10,
    },
)
# One process imports what a run imports; each attempt is a fork of it, and does all else that a run does. No backend of
# JAX is started before the fork.
FORKS = """
import json, os, sys, traceback
from pathlib import Path
import grain, matplotlib.pyplot
from experiments.runs import environment, runner
from experiments.runs.pretraining import kind
from gpt_jax.config import from_dict
environment._jax_defaults()  # asks a process of its own
config, folder, text = from_dict(json.loads(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            runner.run(config, folder, runner.RunIdentity("quickstart", "gpt", 0, "smoke"), data_dir=text)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
def test_a_run_killed_at_a_hundred_random_moments_equals_one_that_was_not(text, tmp_path):
    """After each kill, the newest checkpoint is exact. A run that reaches its end is compared as a whole, and another
    is begun."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(whole, text, BUSY)
    states = {step: restore(BUSY, whole, pytest.fail, step) for step in range(1, STEPS + 1)}
    server = subprocess.Popen(
        [sys.executable, "-c", FORKS, json.dumps(to_dict(BUSY)), str(killed), str(text)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert server.stdin is not None and server.stdout is not None

    def saved():
        return max((int(path.name) for path in (killed / "checkpoints").glob("*") if path.name.isdigit()), default=0)

    hit = dict.fromkeys(("before a step", "after a step", "in a save"), 0)
    longest = 300.0  # seconds from the start to the kill; measured at the first attempt
    for kill in range(KILLS):
        began, before = time.monotonic(), saved()
        server.stdin.write("go\n")
        server.stdin.flush()
        child, moment = int(server.stdout.readline()), RNG.uniform(0, longest) if kill else longest
        while time.monotonic() - began < moment and not (killed / "result.json").exists():
            time.sleep(0.001)
            if not kill and saved():
                longest = 1.6 * (time.monotonic() - began)  # what it takes to save something, and some more
                break
        with contextlib.suppress(ProcessLookupError):  # it came to its end
            os.kill(child, signal.SIGKILL)
        assert int(server.stdout.readline()) in (0, -signal.SIGKILL)
        reached = saved()
        assert reached >= before, "a checkpoint was lost"
        hit["after a step" if reached > before else "before a step"] += 1
        hit["in a save"] += any(not path.name.isdigit() for path in (killed / "checkpoints").glob("*"))
        if reached:
            state = restore(BUSY, killed, pytest.fail)
            jax.tree.map(np.testing.assert_array_equal, state, states[reached])
        if (killed / "result.json").exists():
            assert_same_as_whole(killed, whole)
            shutil.rmtree(killed)
    server.stdin.close()
    assert server.wait(60) == 0
    assert min(hit.values()) >= KILLS // 20, f"the kills did not fall everywhere: {hit}"
    run(killed, text, BUSY)
    jax.tree.map(np.testing.assert_array_equal, restore(BUSY, killed, pytest.fail), states[STEPS])
    assert_same_as_whole(killed, whole)


def assert_same_as_whole(folder, whole):
    """A finished run equals the one that was not killed: log without its clocks, samples and result."""
    assert lines_without_clocks(folder) == lines_without_clocks(whole)
    assert (folder / "samples.txt").read_bytes() == (whole / "samples.txt").read_bytes()
    results = [json.loads((f / "result.json").read_text(encoding="utf-8"))["metrics"] for f in (folder, whole)]
    ours, theirs = ({k: v for k, v in metrics.items() if not k.startswith("time/")} for metrics in results)
    assert ours == theirs
    assert not [path for path in (folder / "checkpoints").iterdir() if not path.name.isdigit()]
    assert not list(folder.glob(".*.partial"))
