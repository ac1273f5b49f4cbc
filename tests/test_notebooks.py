"""The notebooks run from the first cell to the last, in any folder; and what their first cell installs, and where."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpt_jax.machine import core_numbers, on_cores

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
CHECKOUT = Path(__file__).parents[1]
NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))
notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
SHOWN = {  # by notebook: the plots, and a text that its cells print where they did what they say
    "quickstart": (2, "ROMEO:"),
    "gpt1_finetuning": (4, "48 labelled examples"),
    "gpt2_zero_shot": (2, "which of four lines comes next"),
    "gpt3_sparse_and_few_shot": (4, "attention over up to 1,024 tokens"),
    "sweep": (4, "rate3e-3 - rate3e-4: no evidence"),
}


@pytest.fixture
def runtime():
    spec = importlib.util.spec_from_file_location("notebook_runtime", CHECKOUT / "notebooks/runtime.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def one_core(path):
    """Runs of a sweep are made in turn then, and start no processes. Eight simulated devices keep all cores: on one
    core, the kernel of `sweep` died in two of three tries."""
    with on_cores(core_numbers() if path.stem == "sweep" else core_numbers()[-1:]):
        yield


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.slow
@notebooks
def test_notebook_runs_at_smoke_scale_in_a_folder_that_is_no_checkout(path, tmp_path, monkeypatch, one_core):
    monkeypatch.setenv("SCALE", "smoke")
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))  # stands for an installed package
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures, text = SHOWN[path.stem]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == pictures
    assert any(text in output.get("text", "") for output in outputs)
    assert (tmp_path / "runs").is_dir()


@notebooks
def test_notebook_is_committed_without_outputs(path):
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(path))


@notebooks
def test_notebook_has_a_badge_that_opens_it(path):
    opens = f"(https://colab.research.google.com/github/gpt-jax/gpt-jax/blob/main/notebooks/{path.name})"
    assert opens in nbformat.read(path, as_version=4).cells[0].source


def test_notebooks_begin_with_the_same_cell():
    first = {code_cells(path)[0].source.replace('(checkout, "site")', "(checkout)") for path in NOTEBOOKS}
    assert len(first) == 1


@pytest.mark.parametrize(
    ("machine", "extra"),
    [
        (("cpu", False, set(), 0), ""),
        (("gpu", True, {"jax-cuda12-plugin"}, 12), ""),  # Colab's own JAX drives its GPU
        (("gpu", False, {"jax-cuda12-plugin"}, 12), "cuda12"),  # it is too old: a new one comes with its own driver
        (("gpu", True, set(), 13), "cuda"),
        (("tpu", True, {"libtpu"}, 0), ""),
        (("tpu", False, {"libtpu"}, 0), "tpu"),
    ],
)
def test_the_extra_is_the_accelerators_unless_the_jax_that_is_there_drives_it(runtime, machine, extra):
    assert runtime.extra_for(*machine) == extra


def test_an_accelerator_takes_the_largest_scale_and_a_slow_processor_a_smaller_one(runtime, monkeypatch):
    monkeypatch.delenv("SCALE", raising=False)
    minutes = {"smoke": 0.1, "cpu": 2, "laptop": 5}
    monkeypatch.setattr("experiments.runs.starts.measured_speed", lambda: runtime.QUIET)
    assert runtime.Machine("cpu").largest(minutes) == "laptop"
    monkeypatch.setattr("experiments.runs.starts.measured_speed", lambda: runtime.QUIET / 3)
    assert runtime.Machine("cpu").largest(minutes) == "cpu"
    assert runtime.Machine("tpu").largest(minutes) == "laptop"
    monkeypatch.setenv("SCALE", "smoke")
    assert runtime.Machine("tpu").largest(minutes) == "smoke"


def test_a_command_that_fails_stops_the_notebook(runtime, capsys):
    with pytest.raises(RuntimeError, match="status 2"):
        runtime.Machine("cpu").command("show no_such_experiment")
    assert "no_such_experiment" in capsys.readouterr().err


def test_a_jax_that_was_loaded_before_a_newer_one_was_installed_is_named(runtime, tmp_path, monkeypatch):
    (tmp_path / "jax").mkdir()
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(__file__="/elsewhere/jax/__init__.py"))
    assert runtime._loaded_elsewhere(tmp_path) == ["jax"]
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(__file__=str(tmp_path / "jax/__init__.py")))
    assert runtime._loaded_elsewhere(tmp_path) == []
