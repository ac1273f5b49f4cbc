"""The machine and the settings of a run: enough to repeat the run elsewhere."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gpt_jax.disk import parse_json
from gpt_jax.machine import processor, usable_cores

PACKAGES = ("gpt-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "sentencepiece")
PLUGINS = ("jax-cuda13-plugin", "jax-cuda12-plugin", "jax-rocm7-plugin", "jax-rocm60-plugin")
VARIABLES = (
    "LIBTPU_INIT_ARGS",
    "NVIDIA_TF32_OVERRIDE",
    "TF32_OVERRIDE",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
)
PAGES = (":(top,exclude)results", ":(top,exclude)*.md")  # a change there changes no run
PLACE = re.compile(r"""[^\s=,;:"']*[/\\][^\s,;"']*""")
ADDRESS = re.compile(r"\[?[\w.-]+\]?:\d{2,5}\b")


def environment() -> dict[str, Any]:
    """Commit, versions, devices and settings, as JSON values. Starts JAX.

    The keys are the same everywhere; None stands for what is not there, or cannot be known. Paths and addresses in
    settings are left out, as they name a user or a machine.
    """
    import jax

    kinds = Counter(device.device_kind for device in jax.devices())
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": dirty(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": usable_cores(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "chips": dict(kinds),
        "processes": jax.process_count(),
        **_drivers(jax.default_backend()),
        "libtpu": _version("libtpu"),
        "xla_flags": unplaced(os.environ.get("XLA_FLAGS", "")),
        "variables": {name: unplaced(os.environ.get(name)) for name in VARIABLES},
        "jax_settings": jax_settings(),
    }


def made(way: str) -> dict[str, Any]:
    """How this process makes a run: the way of its sweep, and the cores that it may use.

    XLA's CPU programs divide their sums among the cores, so that a run repeats bit for bit on as many cores alone.
    """
    return {"way": way, "cores": usable_cores()}


def in_words(how: dict[str, Any]) -> str:
    """{"way": "jobs", "cores": 1} is "beside other runs (jobs), on 1 core"."""
    together = f"as one of {how.get('copies', 1)} runs of one program (together)"
    words = {"serial": "alone (serial)", "jobs": "beside other runs (jobs)", "together": together}
    return f"{words[how['way']]}, on {how['cores']} core{'s' if how['cores'] != 1 else ''}"


def jax_settings() -> dict[str, Any] | None:
    """JAX's settings that differ from its defaults; None where the defaults cannot be asked for.

    Parts of JAX that are imported later, as Pallas, bring settings of their own: they are left out.
    """
    import jax

    defaults = _jax_defaults()
    if defaults is None:
        return None
    now = {name: _plain(value) for name, value in jax.config.values.items() if name in defaults}
    return {name: unplaced(value) for name, value in sorted(now.items()) if value != defaults[name]}


def unplaced(value: Any) -> Any:
    """A setting without paths and addresses."""
    return ADDRESS.sub("(address)", PLACE.sub("(path)", value)) if isinstance(value, str) else value


@cache
def _jax_defaults() -> dict[str, Any] | None:
    """The settings of a JAX that nothing has been told: this process's may come from variables, or have been set."""
    code = "import json, jax; print(json.dumps(jax.config.values, default=str))"
    bare = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    printed = _output([sys.executable, "-c", code], env=bare, timeout=120)
    return None if printed is None else parse_json(printed, "JAX's settings")


def _plain(value: Any) -> Any:
    return parse_json(json.dumps(value, default=str), "a setting")


def _drivers(backend: str) -> dict[str, str | None]:
    """Versions below JAX: of a GPU's driver and libraries, and of the runtime that JAX says it uses."""
    from jax.extend.backend import get_backend

    gpu = backend in ("gpu", "cuda", "rocm")
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = (_output(ask) or "").split("\n")[0] if gpu else ""
    plugins = [f"{name} {found}" for name in PLUGINS if gpu and (found := _version(name))]
    cuda, cudnn = _cuda_versions() if gpu else (None, None)
    return {
        "driver": driver or None,
        "cuda": cuda,
        "cudnn": cudnn,
        "plugin": ", ".join(plugins) or None,
        "runtime": unplaced(" ".join(get_backend().platform_version.split())),
    }


def _cuda_versions() -> tuple[str | None, str | None]:
    """CUDA's runtime and cuDNN as loaded: 12090 is "12.9", and 91002 is "9.10.2"."""
    try:
        from jax._src.lib import cuda_versions

        cuda, cudnn = cuda_versions.cuda_runtime_get_version(), cuda_versions.cudnn_get_version()  # type: ignore
    except Exception:  # no public name, no CUDA, or a library that is not to be loaded
        return None, None
    return f"{cuda // 1000}.{cuda % 1000 // 10}", f"{cudnn // 10000}.{cudnn % 10000 // 100}.{cudnn % 100}"


def dirty() -> bool:
    """Whether the checkout has changes that are in no commit, and that may change a run."""
    return bool(_git("status", "--porcelain", "--untracked-files=no", "--", ":/", *PAGES))


def _git(*arguments: str) -> str | None:
    """A git command's output in this checkout; None without git or outside a checkout."""
    return _output(["git", *arguments], cwd=Path(__file__).parent)


def _output(command: list[str], timeout: float = 10, **options: Any) -> str | None:
    """What a program prints; None where there is no such program, or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=timeout, encoding="utf-8", **options)
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
