"""`environment.json`: the same keys everywhere, what differs from JAX's defaults, and nobody's name."""

import json
import os
import subprocess
import sys

import pytest

from experiments.runs import environment as module
from experiments.runs.environment import environment, unplaced
from gpt_jax.machine import processor

KEYS = {
    "commit",
    "dirty",
    "python",
    "platform",
    "processor",
    "cores",
    "packages",
    "devices",
    "chips",
    "processes",
    "driver",
    "cuda",
    "cudnn",
    "plugin",
    "runtime",
    "libtpu",
    "xla_flags",
    "variables",
    "jax_settings",
}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("--xla_dump_to=/home/ana/dump --xla_a=true", "--xla_dump_to=(path) --xla_a=true"),
        ("--xla_dump_to=~ana/d", "--xla_dump_to=(path)"),
        ("--a=dumps/ana,--b=1", "--a=(path),--b=1"),
        ("C:\\Users\\ana", "C:(path)"),
        ("node7.ana.org:8476", "(address)"),
        ("10.0.0.7:8476", "(address)"),
        ("highest", "highest"),
        (None, None),
        (16, 16),
    ],
)
def test_settings_lose_what_names_a_user_or_a_machine(value, kept):
    assert unplaced(value) == kept


def test_settings_that_differ_from_the_defaults_are_kept_whether_by_a_variable_or_by_code():
    code = "import jax, json; from experiments.runs.environment import environment as e; "
    code += "jax.config.update('jax_debug_nans', True); print(json.dumps(e()))"
    told = {
        "JAX_PLATFORMS": "cpu",
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "JAX_COMPILATION_CACHE_DIR": "/home/ana/cache",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "LIBTPU_INIT_ARGS": "--a=1",
    }
    bare = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    done = subprocess.run([sys.executable, "-c", code], env={**bare, **told}, capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert found.keys() == KEYS
    assert found["jax_settings"] == {
        "jax_compilation_cache_dir": "(path)",
        "jax_debug_nans": True,
        "jax_default_matmul_precision": "highest",
        "jax_platforms": "cpu",
    }
    assert found["chips"] == {"cpu": 2}
    assert found["xla_flags"] == told["XLA_FLAGS"] and found["variables"]["LIBTPU_INIT_ARGS"] == "--a=1"
    assert found["variables"]["NVIDIA_TF32_OVERRIDE"] is found["driver"] is found["cuda"] is found["cudnn"] is None
    assert "ana" not in json.dumps(found["jax_settings"])


def test_no_user_is_named():
    found = json.dumps(environment())
    assert os.path.expanduser("~") + "/" not in found and processor()


def test_changed_results_and_pages_leave_a_checkout_clean_and_changed_code_does_not(tmp_path, monkeypatch):
    def git(*words: str) -> None:
        named = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *named, *words], cwd=tmp_path, check=True, capture_output=True)

    code = tmp_path / "experiments" / "runs" / "environment.py"
    for path in (code, tmp_path / "results" / "reruns.jsonl", tmp_path / "docs" / "RESULTS.md", tmp_path / "README.md"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1", encoding="utf-8")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "one")
    monkeypatch.setattr(module, "__file__", str(code))
    for path in sorted(set(tmp_path.rglob("*.md")) | set(tmp_path.rglob("*.jsonl"))):
        path.write_text("2", encoding="utf-8")
    assert not module.dirty()
    code.write_text("2", encoding="utf-8")
    assert module.dirty()
