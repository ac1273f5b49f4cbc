"""A run under a locale that is not UTF-8 writes its files as UTF-8 all the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROMPT = "żółw ▅ 猫"


@pytest.mark.slow
def test_a_run_under_the_locale_c_writes_utf8(text, tmp_path):
    argv = ["run", "quickstart", "--scale", "smoke", "--data-dir", str(text), "--out", str(tmp_path)]
    argv += ["model.vocab_size=257", "data.tokenizer=bytes", "training.train_tokens=1e4"]
    argv += [f"training.sample_prompt={PROMPT}"]
    env = {key: value for key, value in os.environ.items() if key not in ("LANG", "PYTHONIOENCODING")}
    env |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [os.fsencode(word) for word in (sys.executable, "-m", "experiments", *argv)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    elsewhere = [*command, b"--out", os.fsencode(tmp_path / PROMPT)]
    refused = subprocess.run(elsewhere, cwd=ROOT, env=env, capture_output=True, timeout=300)
    assert refused.returncode == 2 and refused.stderr.count(b"\n") == 1 and b"PYTHONUTF8=1" in refused.stderr
    folder = tmp_path / "quickstart" / "gpt" / "seed-0"
    assert PROMPT in (folder / "samples.txt").read_text(encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["training"]["sample_prompt"] == PROMPT
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        json.loads(line)
