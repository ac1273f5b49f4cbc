"""The house, read from its imports: no circle, no arrow upwards; the library neither prints nor parses arguments."""

import ast
from functools import cache
from pathlib import Path

import pytest

from experiments import experiment

ROOT = Path(__file__).parent.parent
PACKAGES = ("gpt_jax", "configs", "experiments")
# From the bottom: a module imports from its own layer and from the layers before it. The longest name that fits counts.
LAYERS = (
    ("gpt_jax.errors", "gpt_jax.disk", "gpt_jax.machine", "gpt_jax.sharding", "gpt_jax.numerics", "gpt_jax.intervals"),
    ("gpt_jax.attention",),
    ("gpt_jax.config",),
    ("gpt_jax.model", "configs"),
    ("gpt_jax.generation", "gpt_jax.data"),
    ("gpt_jax.interop", "gpt_jax.training", "gpt_jax.contamination"),
    ("gpt_jax.loading", "gpt_jax.finetuning"),
    ("gpt_jax.evaluation", "gpt_jax.parallel"),
    ("experiments.experiment", "experiments.sweep", "experiments.bases"),
    ("experiments.command", "experiments.arguments", "experiments.terminal", "experiments.determinism"),
    ("experiments.measurements", "experiments.corpora"),
    ("experiments.runs",),
    ("experiments.published",),
    ("experiments.verdicts",),
    ("experiments.findings",),
    ("experiments.site",),
    ("experiments.claims",),
    ("experiments.commands",),
    ("experiments.cli", "experiments.__main__"),
)
FACADES = ("gpt_jax", "experiments")  # they load what they name when it is asked for, and import nothing before
LISTS = (
    "gpt_jax.evaluation.tasks",
    "experiments.commands",
    "experiments.claims",
)  # folders with a file for each member
MOST_FILES = 14  # in any other folder


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, ast.Module]:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in files}


def imports(name: str) -> set[str]:
    """The modules of ours that `name` imports, inside functions too; what only a type checker reads is left out."""
    found = set()
    for node in executed(modules()[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level and node.module, f"{name}: a relative import is not read here"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if one in modules() else node.module for one in inner}
    return {one for one in found if one in modules()} - {name}


def executed(tree: ast.AST):
    """All nodes that Python runs: those below `if TYPE_CHECKING` are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from executed(other)
        else:
            yield node
            yield from executed(node)


def layer(name: str) -> int:
    fitting = [(len(part), n) for n, parts in enumerate(LAYERS) for part in parts if f"{name}.".startswith(f"{part}.")]
    return max(fitting)[1]


def test_every_module_has_its_layer():
    def placed(name: str) -> bool:
        return any(f"{name}.".startswith(f"{part}.") for parts in LAYERS for part in parts)

    assert {name for name in modules() if not placed(name)} == set(FACADES)
    assert [name for name in FACADES if imports(name)] == []


def test_no_import_runs_upwards():
    own = [name for name in modules() if name not in FACADES]
    upwards = [f"{a} imports {b}" for a in own for b in imports(a) - {*FACADES} if layer(b) > layer(a)]
    assert not upwards, "\n".join(sorted(upwards))


def test_imports_form_no_circle():
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in sorted(imports(name)):
                visit(other, (*path, name))
            done.add(name)

    for name in modules():
        visit(name, ())


def test_the_library_does_not_import_its_own_front():
    """`from gpt_jax import GPT` inside gpt_jax would hide where a thing comes from."""
    assert [name for name in modules() if name.startswith("gpt_jax.") and "gpt_jax" in imports(name)] == []


@pytest.mark.parametrize("name", [name for name in modules() if name.startswith("gpt_jax")])
def test_the_library_neither_prints_nor_parses_arguments(name):
    for node in ast.walk(modules()[name]):
        match node:
            case (
                ast.Call(func=ast.Name(id="print"))
                | ast.Attribute(value=ast.Name(id="sys"), attr="argv" | "stdout" | "stderr")
            ):
                pytest.fail(f"{name}:{node.lineno}: {ast.unparse(node)}")
            case ast.Import(names=aliases):
                assert not {alias.name.split(".")[0] for alias in aliases} & {"argparse", "click", "rich"}
            case ast.ImportFrom(module=module):
                assert str(module).split(".")[0] not in ("argparse", "click", "rich")


def test_the_claims_are_what_list_lists():
    files = {path.stem for path in (ROOT / "experiments" / "claims").glob("*.py")} - {"__init__"}
    assert files == set(experiment.names())


@pytest.mark.parametrize("folder", sorted({name.rpartition(".")[0] for name in modules()} - {"", *LISTS}))
def test_a_folder_shows_its_plan(folder):
    files = [path.name for path in (ROOT / folder.replace(".", "/")).glob("*.py") if path.stem != "__init__"]
    assert len(files) <= MOST_FILES, sorted(files)
