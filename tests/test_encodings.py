"""Every text file of the tree, and every child's output, is read and written as UTF-8, whatever the user's locale.

Ruff's PLW1514 sees `open`; what it cannot see, a method of a path whose type it does not know or the output of a
process, is read here from the syntax.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(
    path
    for name in ("gpt_jax", "experiments", "configs", "benchmarks", "tests")
    for path in (ROOT / name).rglob("*.py")
)
POSITION = {"read_text": 0, "write_text": 1}  # of the encoding, where it may be given without its name
PROCESSES = {"run", "Popen", "check_output"}
OPENING = {"open", "fdopen", "NamedTemporaryFile", "TemporaryFile"}
PACKED = {"gzip", "bz2", "lzma", "zstandard"}  # what they open is bytes, unless the mode says text
MODULES = PACKED | {"os", "io", "tempfile", "codecs"}


def without_encoding(source: str) -> list[int]:
    """The lines of the calls that leave the encoding to the locale."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if _leaves_it(call)]


def _leaves_it(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    named = {word.arg: word.value for word in call.keywords}
    if "encoding" in named:
        return False
    if name in POSITION:
        return len(call.args) <= POSITION[name]
    if name in PROCESSES:
        return "text" in named or "universal_newlines" in named
    return name in OPENING and not _is_binary(call, name, named)


def _is_binary(call: ast.Call, name: str, named: dict[str | None, ast.expr]) -> bool:
    """Whether bytes are read or written; `os.open` opens no text."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    module = owner.id if isinstance(owner, ast.Name) else ""
    if (module, name) == ("os", "open"):
        return True
    is_method = owner is not None and module not in MODULES  # of a path: the mode comes first
    place = 0 if "Temporary" in name or is_method else 1
    mode = named.get("mode", call.args[place] if len(call.args) > place else None)
    default = "b" if "Temporary" in name or module in PACKED else "t"
    text = mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else default
    return "t" not in text if module in PACKED else "b" in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_file_is_opened_as_utf8(path: Path):
    assert without_encoding(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "call",
    [
        "open(p)",
        "open(p, 'w')",
        "p.open()",
        "p.open('a')",
        "p.read_text()",
        "p.write_text('x')",
        "os.fdopen(3, 'w')",
        "gzip.open(p, 'rt')",
        "tempfile.NamedTemporaryFile('w')",
        "subprocess.run(c, text=True)",
    ],
)
def test_a_call_that_leaves_the_encoding_to_the_locale_is_found(call: str):
    assert without_encoding(f"x = 1\n{call}") == [2]


@pytest.mark.parametrize(
    "call",
    [
        "open(p, 'rb')",
        "p.open('wb')",
        "p.read_text('utf-8')",
        "os.open(p, 0)",
        "gzip.open(p)",
        "p.write_bytes(b'')",
        "tempfile.NamedTemporaryFile()",
        "subprocess.run(c)",
        "open(p, encoding='utf-8')",
    ],
)
def test_a_call_for_bytes_is_not(call: str):
    assert without_encoding(call) == []
