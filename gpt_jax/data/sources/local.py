"""A file or a folder on this machine as documents: which files are text, and how many of what kind are left out.

These are left out of a folder:
- hidden files and folders, and files whose names say that they are no text;
- a README.md that describes data: it starts with a header (`---`), or rows (.jsonl, .parquet, .arrow) lie beside or
  below it, as in a cloned Hugging Face data set;
- rows (.jsonl, .parquet, .arrow) of the splits test and validation where others are of the split train;
- folders that hold a run, an experiment's runs and report, or a model's weights (a config.json says so), the cache, and
  the answers that `evaluate --out` writes: an `--out` below the data folder never becomes training text.

Links are followed, to files and to folders. A file that two paths lead to is read once. If the file itself lies below
the folder, it is read there.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gpt_jax.data.sources.formats import PACKED, ROWS, WHOLE, check_whole, documents, kind_of, named
from gpt_jax.data.text import Document, Source, described
from gpt_jax.disk import Digests, digest_of, read_json
from gpt_jax.errors import InputError

ANSWERS = ".items.jsonl"
HELD_OUT = {"test", "validation", "valid", "val", "dev"}  # names of splits beside "train"


def open_place(name: str, place: Path, root: Path, text_key: str) -> Source:
    """The documents of the file or folder `place`; see `open_source`."""
    if not place.exists():
        raise InputError(f"data.source: {str(place)!r} does not exist")
    files, left_out = _files_of(place, root) if place.is_dir() else ([place], Counter())
    if not files or kind_of(files[0]) is None:
        packed = " and ".join(PACKED)
        raise InputError(
            f"data.source: {str(place)!r} holds no text: expected {', '.join(WHOLE + ROWS)}, the first three also "
            f"with {packed}" + (f"; left out: {described(left_out)}" if left_out else "")
        )
    digests, entries = Digests(root), []
    for file in files:
        with named(file):
            size = file.stat().st_size
            check_whole(file, size)
            if size == 0:
                left_out["empty files"] += 1
            entries.append([kind_of(file), digests(file)])
    digest = digest_of(entries)
    if text_key != "text" and any(kind in ROWS for kind, _ in entries):
        digest = digest_of([digest, text_key])

    def every() -> Iterator[Document]:
        rows = Counter()
        for file in files:
            yield from documents(file, text_key, rows)
        source.left_out.update(rows)

    source = Source(name, digest, every, dict(left_out))
    return source


def _files_of(folder: Path, root: Path) -> tuple[list[Path], Counter[str]]:
    """The files of text below `folder`, in the order of their paths, and the counts of the rest by kind."""
    left_out, found = Counter(), []
    walk: list[tuple[Path, str]] = [(folder, os.path.realpath(folder))]  # paths, and where they really lie
    links: list[tuple[Path, str]] = []
    read: set[str] = set()
    while walk or links:
        path, real = walk.pop() if walk else links.pop(0)
        with named(path):
            mode = path.stat().st_mode
            if real in read:
                left_out["links to what is read already"] += 1
            elif stat.S_ISREG(mode):
                found.append(path)
            elif not stat.S_ISDIR(mode):
                left_out["devices, pipes and sockets"] += 1
            elif path != folder and (kind := _not_data(path, root)):
                left_out[kind] += 1
            else:
                entries = sorted(os.scandir(path), key=lambda entry: entry.name)
                for entry in entries:
                    if entry.name.startswith("."):
                        left_out["hidden files and folders"] += 1
                    elif not entry.is_dir() and kind_of(Path(entry.name)) is None:
                        left_out[f"files ending in {Path(entry.name).suffix.lower() or 'nothing'}"] += 1
                    elif entry.is_symlink():
                        links.append((Path(entry.path), os.path.realpath(entry.path)))
                    else:
                        walk.append((Path(entry.path), os.path.join(real, entry.name)))
            read.add(real)
    kept = sorted(found)
    for kind, dropped in (
        ("data set cards", _cards(kept)),
        ("files of other splits than train", _held_out(kept)),
        ("answers of evaluations", {file for file in kept if is_answers(file)}),
    ):
        if dropped:
            left_out[kind] += len(dropped)
        kept = [path for path in kept if path not in dropped]
    return kept, left_out


def _not_data(folder: Path, root: Path) -> str | None:
    """What a folder holds whose files are no data; None for any other."""
    if root.exists() and folder.samefile(root):
        return "caches"
    experiment = next(folder.glob("*/seed-*/config.json"), None)
    keys = _keys(folder / "config.json") | (_keys(experiment) if experiment is not None else set())
    return "folders of runs and weights" if "model_type" in keys or {"identity", "digest"} <= keys else None


def is_answers(file: Path) -> bool:
    """Whether a file is what `evaluate --out NAME.json` writes beside NAME.json."""
    if not file.name.endswith(ANSWERS):
        return False
    return {"folder", "results", "stride", "overflow"} <= _keys(
        file.with_name(file.name.removesuffix(ANSWERS) + ".json")
    )


def _keys(path: Path) -> set[str]:
    """The keys of a file's JSON object; none where it holds none."""
    try:
        return set(read_json(path, dict))
    except InputError:
        return set()


def _cards(files: list[Path]) -> set[Path]:
    """Which are a README.md about data, rather than data."""
    of_rows = {parent for file in files if kind_of(file) in ROWS for parent in file.parents}

    def has_header(path: Path) -> bool:
        with named(path), open(path, "rb") as file:
            return re.match(rb"(\xef\xbb\xbf)?---\r?\n", file.read(8)) is not None

    return {f for f in files if f.name.lower() == "readme.md" and (f.parent in of_rows or has_header(f))}


def _held_out(files: list[Path]) -> set[Path]:
    """Files of rows of a split that is not for training, where some are of the split train."""
    splits = {file: _split(file) for file in files if kind_of(file) in ROWS}
    if "train" not in splits.values():
        return set()
    return {file for file, split in splits.items() if split in HELD_OUT}


def _split(file: Path) -> str:
    """ "train" of .../train-00000-of-00002.parquet, and of train/data-00000-of-00002.arrow."""
    words = (re.split(r"[-_.]", file.name.lower())[0], file.parent.name.lower())
    return next((word for word in words if word == "train" or word in HELD_OUT), "")
