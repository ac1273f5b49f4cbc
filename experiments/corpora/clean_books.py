"""Books as running text: `python -m experiments.corpora.clean_books FOLDER... OUT` writes every .txt below FOLDER.

Books as they are passed around are wrapped at some 70 characters, differ in their ends of line, and come twice under
two names. Here a line of 50 to 80 characters that is followed by another is taken for a wrapped one and joined to it,
and a book whose opening stands in another one is left out. Existing files in OUT are replaced.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from experiments.command import Command, carry_out
from gpt_jax.errors import InputError

PROBE = 12  # words in a row, of which a copy of a book has most, whatever the edition


def unwrap(text: str) -> str:
    """`text` without the line breaks inside its paragraphs."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"(?m)^(.{50,80})\n(?=\S)", r"\1 ", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def sample(text: str, count: int = 200) -> set[tuple[str, ...]]:
    """`count` runs of `PROBE` words, evenly spread: what a second edition has in common with the first."""
    words = re.findall(r"[a-z]+", text.lower())
    starts = range(0, max(len(words) - PROBE, 1), max(len(words) // count, 1))
    return {tuple(words[start : start + PROBE]) for start in starts}


def runs(text: str) -> set[int]:
    """Hashes of every run of `PROBE` words."""
    words = re.findall(r"[a-z]+", text.lower())
    return {hash(tuple(words[start : start + PROBE])) for start in range(len(words) - PROBE + 1)}


def decoded(content: bytes) -> tuple[str, str]:
    """The text of a book and its encoding: UTF-8, or else Windows-1252, or Latin-1 where a byte is none of its."""
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1"), "latin-1"


def clean(folders: list[Path], out: Path) -> tuple[int, list[str], dict[str, int]]:
    """Writes the books; returns their number, the names of those left out as copies, and how many were in which
    encoding. A second book of one name is written as NAME-2.txt."""
    out.mkdir(parents=True, exist_ok=True)
    probes: dict[str, set[int]] = {}
    copies: list[str] = []
    encodings: dict[str, int] = {}
    for path in sorted(p for folder in folders for p in folder.rglob("*.txt")):
        text, encoding = decoded(path.read_bytes())
        encodings[encoding] = encodings.get(encoding, 0) + 1
        text = unwrap(text)
        all_runs = runs(text)
        if any(len(all_runs & probe) > len(probe) / 4 for probe in probes.values()):
            copies.append(path.name)
            continue
        names = (path.name, *(f"{path.stem}-{n}{path.suffix}" for n in range(2, len(probes) + 3)))
        name = next(name for name in names if name not in probes)
        probes[name] = {hash(run) for run in sample(text)}
        (out / name).write_text(text, encoding="utf-8")
    return len(probes), copies, encodings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="where the .txt files are")
    parser.add_argument("out", type=Path, metavar="OUT", help="where they go")


def act(arguments: argparse.Namespace) -> int:
    """Writes the books and says how many there are. Raises `InputError` where a folder is missing or has none."""
    for folder in arguments.folders:
        if not folder.is_dir():
            raise InputError(f"FOLDER: {str(folder)!r} is not a folder: a folder with .txt files is allowed")
    count, copies, encodings = clean(arguments.folders, arguments.out)
    if not count:
        raise InputError(f"FOLDER: {', '.join(map(str, arguments.folders))}: no .txt file there")
    print(f"{count} books in {arguments.out}; left out as copies: {', '.join(copies) or 'none'}")
    print("read as " + ", ".join(f"{name}: {number}" for name, number in sorted(encodings.items())))
    return 0


COMMAND = Command(
    group="data",
    help="books as running text: unwraps every .txt below FOLDER and leaves out copies",
    example="python -m experiments.corpora.clean_books novels books",
    arguments=add_arguments,
    act=act,
)

if __name__ == "__main__":
    sys.exit(carry_out(COMMAND, sys.argv[1:], "python -m experiments.corpora.clean_books"))
