"""Set before JAX is imported: the CPU, quick compilation, and caches of the tests' own that outlive them."""

import os
import signal
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # programs here compile longer than they run
_QUICK = "--xla_cpu_use_fusion_emitters=false"  # half the time; later versions than 0.10 end where they are given it
if version("jaxlib").startswith("0.10.") and _QUICK not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_QUICK}".strip()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or tempfile.gettempdir()) / "gpt_jax_tests"
os.environ["GPT_JAX_CACHE"] = str(_CACHE / "cache")  # not the user's own, which may hold what a test says is missing
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from gpt_jax.machine import core_numbers  # noqa: E402

settings.register_profile("few", deadline=None, max_examples=25)
settings.register_profile("many", deadline=None, max_examples=100)


def pytest_configure(config):
    """The default suite tries a few examples of each property; a run that holds the slow tests too tries many."""
    settings.load_profile("few" if config.option.markexpr == "not slow" else "many")


@pytest.fixture(autouse=True)
def cores_stay_as_they_were():
    """A test that kept its process to some cores would slow down, or fail, those that come after it."""
    before = core_numbers()
    yield
    assert core_numbers() == before


@pytest.fixture(autouse=True)
def flags_of_xla_stay_as_they_were(monkeypatch):
    """`verify` adds flags where the run that it makes again had them: they choose attention's kernel too."""
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
