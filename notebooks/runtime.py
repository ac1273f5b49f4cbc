"""What every notebook does first: it finds the accelerator, installs what is missing, and says which scale fits.

The packages of the runtime stay as they are. What is missing or too old goes to a folder of its own, which stands first
on the path. On Colab, a JAX that is new enough is used, and an older one is neither replaced nor used.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DRIVERS = {"gpu": ("jax-cuda12-plugin", "jax-cuda13-plugin"), "tpu": ("libtpu",), "cpu": ()}
KEPT = {
    "numpy": "numpy",
    "jax": "jax",
    "jaxlib": "jax",
}  # the packages that pip may not replace, unless that is missing
GOOGLE = "0x1ae0"  # the vendor of TPUs on the PCI bus
QUIET = 3.5e10  # FLOP/s of a small model's training on two quiet cores with AVX2, on which minutes are stated


@dataclass(frozen=True)
class Machine:
    """The machine of this notebook: "cpu", "gpu" or "tpu"."""

    kind: str

    def largest(self, minutes: Mapping[str, float], most: float = 7) -> str:
        """The largest scale that takes at most so many minutes here, of scales that are named in ascending order.

        `minutes` says how long each takes on two quiet cores. The speed of a product of matrices says how much longer
        this processor takes. An accelerator takes the last scale. The first scale is for tests, and is taken only where
        $SCALE asks for it; $SCALE may ask for any other.
        """
        if (asked := os.environ.get("SCALE", "")) in minutes:
            return asked
        names = [*minutes][1:]
        if self.kind != "cpu":
            return names[-1]
        from experiments.runs.starts import measured_speed

        slower = QUIET / measured_speed()
        return [name for name in names if minutes[name] * slower <= most or name == names[0]][-1]

    def command(self, line: str) -> None:
        """Does what `python -m experiments LINE` does, in this process, as a TPU serves one process alone.

        Raises `RuntimeError` where the command ends with another status than 0; it has said why.
        """
        from experiments.cli import main

        if status := main(shlex.split(line)):
            raise RuntimeError(f"python -m experiments {line}: ended with status {status}")


def prepare(checkout: Path, *extras: str) -> Machine:
    """Finds the accelerator, installs what is missing of pyproject.toml's dependencies and `extras`, and says both.

    JAX is not started. Raises `RuntimeError` where a package that was installed is already loaded in an older version.
    """
    from packaging.requirements import Requirement

    kind = accelerator()
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = Path(os.environ.get("GPT_JAX_CACHE") or "~/.cache/gpt_jax").expanduser() / "notebooks"
    packages = own / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    _first_on_path(packages, checkout)
    wanted = [Requirement(line) for name in ("", *extras) for line in _lines(project, name)]
    missing = [one.name for one in wanted if not _satisfied(one)]
    drivers = {name for name in DRIVERS[kind] if _version(name)}
    extra = extra_for(kind, "jax" not in missing, drivers, cuda_version())
    if missing or extra:
        print(f"installing {', '.join([*missing, *([f'JAX for a {kind.upper()}'] if extra else [])])}")
        keep = [name for name, of in KEPT.items() if of not in missing]
        kept = [f"{name}=={_version(name)}" for name in keep]
        _install(own, packages, [*map(str, wanted), *(_lines(project, extra) if extra else []), *kept])
    if late := _loaded_elsewhere(packages):
        raise RuntimeError(
            f"{', '.join(late)}: another version is loaded: choose Runtime > Restart session, and run this cell again"
        )
    name = {"gpu": f"a GPU, {_gpu_name()}", "tpu": "a TPU", "cpu": f"a CPU with {os.cpu_count()} cores"}[kind]
    print(f"{name}; Python {sys.version.split()[0]}, JAX {_version('jax')}")
    return Machine(kind)


def accelerator() -> str:
    """ "tpu", "gpu" or "cpu", by the devices that the system shows. JAX_PLATFORMS decides where it names one."""
    named = os.environ.get("JAX_PLATFORMS", "").lower().replace("cuda", "gpu").partition(",")[0]
    if named in DRIVERS:
        return named
    vendors = Path("/sys/bus/pci/devices").glob("*/vendor")
    if Path("/dev/accel0").exists() or any(path.read_text(encoding="utf-8").strip() == GOOGLE for path in vendors):
        return "tpu"
    return "gpu" if _nvidia_smi() else "cpu"


def extra_for(kind: str, enough: bool, drivers: set[str], cuda: int) -> str:
    """The extra of pyproject.toml that lets JAX use the accelerator; "" where none is needed.

    Args:
      enough: whether the JAX that is here is new enough.
      drivers: which of JAX's packages for this accelerator are here.
      cuda: the newest CUDA that the GPU's driver runs.
    """
    if kind == "cpu" or (enough and drivers):
        return ""
    return "tpu" if kind == "tpu" else "cuda" if cuda >= 13 else "cuda12"


def cuda_version() -> int:
    """The newest CUDA that the GPU's driver runs, as `nvidia-smi` says; 0 without one."""
    found = re.search(r"CUDA Version:\s*(\d+)", _nvidia_smi())
    return int(found[1]) if found else 0


def _nvidia_smi(*arguments: str) -> str:
    try:
        return subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def _gpu_name() -> str:
    return _nvidia_smi("--query-gpu=name", "--format=csv,noheader").partition("\n")[0]


def _lines(project: Mapping, extra: str) -> list[str]:
    return project["optional-dependencies"][extra] if extra else project["dependencies"]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _satisfied(requirement) -> bool:
    found = _version(requirement.name)
    return bool(found) and requirement.specifier.contains(found, prereleases=True)


def _first_on_path(*folders: Path) -> None:
    """Puts folders first on the path of this process, and of those that it starts."""
    texts = [str(folder) for folder in folders]
    sys.path[:] = texts + [entry for entry in sys.path if entry not in texts]
    inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry not in (*texts, "")]
    os.environ["PYTHONPATH"] = os.pathsep.join([*texts, *inherited])


def _install(own: Path, packages: Path, wanted: list[str]) -> None:
    """Installs into the environment `own`, which sees the packages of this process and cannot change them."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(own)], check=True)
    seen = [entry for entry in sys.path if entry.endswith("-packages") and entry != str(packages)]
    (packages / "seen.pth").write_text("\n".join(seen), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(own / "bin/python"), "install", "-q", *wanted]
    subprocess.run(pip, check=True, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"})


def _loaded_elsewhere(packages: Path) -> list[str]:
    """Those of `KEPT` that this process has loaded from another folder, although `packages` has them."""
    files = {name: sys.modules[name].__file__ for name in KEPT if name in sys.modules and (packages / name).is_dir()}
    return [name for name, file in files.items() if file and not Path(file).is_relative_to(packages)]
