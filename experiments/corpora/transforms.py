"""The sets that are made from other sets of the catalogue: one function each, from the parts' folders to a new one."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from experiments.corpora import clean_books
from experiments.corpora.catalogue import DataSet, get
from gpt_jax.errors import InputError


def books(parts: dict[str, Path], out: Path) -> None:
    """Two collections as running text, unwrapped, each book once (clean_books.py)."""
    clean_books.clean([parts["novels"], parts["litbank"]], out)


def mixtures(parts: dict[str, Path], out: Path) -> None:
    """A folder for each source of `mixtures`: books, news, speeches, wikipedia."""
    shutil.copytree(parts["books"], out / "books", copy_function=_link)
    unzipped(parts["abc"] / "abc.zip", out / "news")
    for name in ("inaugural", "state_union"):
        unzipped(parts[name] / f"{name}.zip", out / "speeches", f"{name}-")
    shutil.copytree(parts["wikitext2"], out / "wikipedia")


def unzipped(archive: Path, out: Path, prefix: str = "") -> None:
    """The .txt files of a .zip, as UTF-8, in one folder."""
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as opened:
        for name in sorted(opened.namelist()):
            if name.endswith(".txt"):
                text, _ = clean_books.decoded(opened.read(name))
                (out / f"{prefix}{Path(name).name}").write_text(text, encoding="utf-8")


TRANSFORMS: dict[str, Callable[[dict[str, Path], Path], None]] = {"books": books, "mixtures": mixtures}


def make(data: DataSet) -> None:
    """Makes a set from its parts, which are here, unless it is here. Its folder appears when it is whole."""
    if data.folder.is_dir():
        return
    data.folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{data.name}-", dir=data.folder.parent))
    try:
        TRANSFORMS[data.name]({name: get(name).folder for name in data.made}, partial)
        os.replace(partial, data.folder)
    except (zipfile.BadZipFile, UnicodeError) as error:
        raise InputError(f"data: {data.name} cannot be made: {error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _link(source: str, target: str) -> None:
    """A second name for a file, where the file system can; else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
