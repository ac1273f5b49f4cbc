"""One budget of text from 1, 2, 4, ... sources: `python -m experiments.corpora.mix SOURCES OUT --order a,b,c,d`.

SOURCES has a folder of .txt files for each source. OUT gets `sources1`, `sources2`, `sources4`, ...: as many characters
in each, in equal shares, from the first one, two, four, ... sources of `--order`. Files are cut into pieces of about
20,000 characters, shuffled by a fixed seed; a smaller share is the beginning of a larger one. Existing files in OUT are
replaced. `mixtures` trains on what this writes.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from pathlib import Path

from experiments.arguments import whole
from experiments.command import Command, carry_out
from experiments.corpora.clean_books import decoded
from gpt_jax.errors import InputError, unknown

PIECE = 20_000  # characters


def pieces(text: str, size: int = PIECE) -> list[str]:
    """`text` cut at ends of lines into pieces of at least `size` characters, and the rest, of less than twice that."""
    found, start = [], 0
    while len(text) - start > 2 * size:
        end = text.find("\n", start + size) + 1
        if not end or end - start > 2 * size:
            end = start + size
        found.append(text[start:end])
        start = end
    return [*found, text[start:]]


def read(folder: Path, encodings: Counter[str]) -> list[str]:
    """Every .txt file below `folder`, in pieces, shuffled; each file's encoding is added to `encodings`.

    Raises `InputError` where there is none.
    """
    files = sorted(folder.rglob("*.txt"))
    if not files:
        raise InputError(f"SOURCES: {str(folder)!r} holds no .txt file")
    found = []
    for file in files:
        text, encoding = decoded(file.read_bytes())
        encodings[encoding] += 1
        found += pieces(text)
    random.Random(0).shuffle(found)
    return found


def share(source: list[str], characters: int, name: str) -> list[str]:
    """The first pieces of a source, `characters` in all, the last one cut. Raises `InputError`: there are fewer."""
    taken, left = [], characters
    for piece in source:
        if left <= 0:
            break
        taken.append(piece[:left])
        left -= len(piece)
    if left > 0:
        raise InputError(f"--characters: source {name!r} has {characters - left:,}, and {characters:,} are its share")
    return taken


def mix(folder: Path, out: Path, order: list[str], characters: int) -> tuple[list[Path], Counter[str]]:
    """Writes the mixtures; returns their folders, and how many files were in which encoding.

    Raises `InputError`: an unknown source, or one that is too small.
    """
    there = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    for name in order:
        if name not in there:
            raise unknown("source", name, there or [f"a folder of {folder}"])
    encodings: Counter[str] = Counter()
    sources = {name: read(folder / name, encodings) for name in order}
    counts = [2**n for n in range(len(order).bit_length()) if 2**n <= len(order)]
    shares = {count: characters // count for count in counts}
    made = {
        count: {name: share(sources[name], shares[count], name) for name in order[:count]} for count in counts
    }  # fmt: skip
    folders = []
    for count, parts in made.items():
        place = out / f"sources{count}"
        place.mkdir(parents=True, exist_ok=True)
        for old in place.glob("*.jsonl"):
            old.unlink()
        for name, texts in parts.items():
            lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
            (place / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        folders.append(place)
    return folders, encodings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", type=Path, metavar="SOURCES", help="a folder with a folder for each source")
    parser.add_argument("out", type=Path, metavar="OUT", help="where the mixtures go")
    parser.add_argument(
        "--order", required=True, metavar="A,B", help="the sources, the first alone in sources1: books,wikipedia,news"
    )
    parser.add_argument("--characters", type=whole(1), default=8_000_000, metavar="N", help="of each mixture (8000000)")


def act(arguments: argparse.Namespace) -> int:
    """Writes the mixtures and names them. Raises `InputError`."""
    order = [name for name in arguments.order.split(",") if name]
    folders, encodings = mix(arguments.sources, arguments.out, order, arguments.characters)
    for folder in folders:
        print(f"{folder}: {', '.join(sorted(path.stem for path in folder.iterdir()))}")
    print("read as " + ", ".join(f"{name}: {number}" for name, number in sorted(encodings.items())))
    return 0


COMMAND = Command(
    group="data",
    help="one budget of text from 1, 2, 4, ... sources, in equal shares",
    example="python -m experiments.corpora.mix sources mixtures --order books,wikipedia,news,speeches",
    arguments=add_arguments,
    act=act,
)

if __name__ == "__main__":
    sys.exit(carry_out(COMMAND, sys.argv[1:], "python -m experiments.corpora.mix"))
