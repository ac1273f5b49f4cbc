"""A published run made again: bit for bit where it was made alike, and named where a step differs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.determinism import FLAGS
from experiments.published import rerun
from experiments.published.file import read_lines
from experiments.runs.screen import Screen
from experiments.terminal import make_console
from gpt_jax.errors import InputError
from gpt_jax.machine import usable_cores

ROOT = Path(__file__).parents[3]
LINE = "results/quickstart/smoke.jsonl"


def verify(*words: str) -> subprocess.CompletedProcess:
    """`verify` in its own process, as a user has it: the tests' own settings of XLA give other numbers."""
    ours = ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS")
    bare = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, "-m", "experiments", "verify", *words]
    return subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, encoding="utf-8")


def test_a_published_line_is_whole_and_an_unknown_arm_is_named(capsys):
    assert main(["verify", str(ROOT / LINE)]) == 0
    assert "whole (gpt seed 0" in capsys.readouterr().out
    assert main(["verify", str(ROOT / LINE), "--arm", "gtp"]) == 2
    assert "did you mean 'gpt'?" in capsys.readouterr().err
    assert main(["verify", str(ROOT / LINE), "--steps", "3"]) == 2
    assert "--steps: not allowed without --rerun" in capsys.readouterr().err


def test_a_run_whose_start_is_not_here_says_how_to_make_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = usable_cores()
    assert (
        main(["verify", str(ROOT / "results/aux_loss/laptop.jsonl"), "--sample", "1", "--rerun", "--cores", "1"]) == 2
    )
    assert usable_cores() == before
    assert "python -m experiments run plays --scale laptop --only decoder --seeds 0 makes it" in capsys.readouterr().err


def test_a_run_that_was_deterministic_is_made_again_with_the_same_flags(tmp_path, monkeypatch, capsys):
    """Its start is missing here, so that nothing is trained; the flags must be there before JAX starts."""
    line = json.loads((ROOT / "results/aux_loss/laptop.jsonl").read_text(encoding="utf-8").splitlines()[0])
    line["environment"]["xla_flags"] = " ".join(FLAGS)
    changed = tmp_path / "aux_loss" / "laptop.jsonl"
    changed.parent.mkdir()
    changed.write_text(json.dumps(line) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XLA_FLAGS", "")
    assert main(["verify", str(changed), "--rerun"]) == 2
    assert "is missing here" in capsys.readouterr().err and os.environ["XLA_FLAGS"].split() == list(FLAGS)


def test_what_data_get_fetched_is_found_as_by_run(tmp_path, monkeypatch):
    """Of a claim that reads local text, where no folder is given."""
    (was, *_) = read_lines(ROOT / "results/mixtures/cpu.jsonl").values()
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"mixtures reads local text, and no folder is given: one is, or .*data get"):
        rerun.rerun(was, tmp_path, None, Screen(make_console()))
    (tmp_path / "cache" / "public" / "mixtures").mkdir(parents=True)
    read = []

    def stop(*words, data_dir, **more):
        read.append(data_dir)
        raise InputError("stopped")

    monkeypatch.setattr(rerun.runner, "run", stop)
    with pytest.raises(InputError, match="stopped"):
        rerun.rerun(was, tmp_path, None, Screen(make_console()))
    assert read == [tmp_path / "cache" / "public" / "mixtures"]


@pytest.mark.slow
def test_the_published_quickstart_gives_its_numbers_again():
    done = verify(LINE, "--rerun")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal, bit for bit" in done.stdout or "made otherwise" in done.stdout


@pytest.mark.slow
def test_a_line_whose_curve_was_changed_is_found_at_the_step(tmp_path):
    values = json.loads((ROOT / LINE).read_text(encoding="utf-8"))
    values["curves"]["train/loss"]["value"][1] *= 1.02  # beyond the tolerance, wherever this is
    changed = tmp_path / "quickstart" / "smoke.jsonl"
    changed.parent.mkdir()
    changed.write_text(json.dumps(values), encoding="utf-8")
    done = verify(str(changed), "--rerun", "--steps", "3")
    step = values["curves"]["train/loss"]["step"][1]
    assert done.returncode == 1
    assert f"first difference in the log: step {step}: train/loss is" in done.stdout
    assert "does not give its numbers again" in done.stderr
    assert "did not keep" not in done.stdout
