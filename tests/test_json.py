"""JSON is read in one place, `gpt_jax/disk.py`, which names the file and the line of what nothing could hold."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(
    path for name in ("gpt_jax", "experiments", "configs", "benchmarks") for path in (ROOT / name).rglob("*.py")
)
READING = {"load", "loads", "JSONDecoder", "scanner", "decoder"}
READERS = {"gpt_jax/disk.py"}


def json_readers(source: str) -> list[int]:
    """The lines on which the standard library's JSON is read, or one of its readers imported."""
    tree = ast.parse(source)
    names = {
        a.asname or a.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for a in node.names
        if a.name == "json"
    }
    used = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names
        if node.attr in READING
    ]
    imported = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "json"
        if READING & {a.name for a in node.names}
    ]
    return sorted(used + imported)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_json_is_read_by_disk_alone(path: Path):
    found = json_readers(path.read_text(encoding="utf-8"))
    assert bool(found) == (str(path.relative_to(ROOT)) in READERS), found


@pytest.mark.parametrize(
    "line", ["json.loads(t)", "x = map(json.loads, t)", "json.load(f)", "from json import loads as l"]
)
def test_another_reader_is_found(line: str):
    assert json_readers(f"import json\n{line}") == [2]


def test_writing_json_is_no_reading():
    assert json_readers("import json\njson.dumps(1)") == []
