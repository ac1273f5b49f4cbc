"""The public files of a task, as they are distributed: found by name below one folder. .gz and .zip are unpacked."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt_jax import disk
from gpt_jax.errors import InputError

Fields = type | tuple[type, ...]


def public_root() -> Path:
    """Where `python -m experiments data get` puts public files, a folder for each set: `public` in the cache."""
    return disk.cache_root() / "public"


@dataclass(frozen=True)
class Files:
    """Task data below `root`. Where no folder was given (`root` is None), what was fetched to `public_root()`."""

    root: Path | None = None

    def find(self, *names: str, kinds: str = "file folder") -> Path:
        """The first file or folder of one of `names` (a name, the end of a path, or a pattern), at any depth; .gz too.

        Of several, the least deep one is found. `kinds` "file" or "folder" passes over the other kind. Raises
        `InputError` that lists the names if nothing is found.
        """
        return self.find_all(*names, kinds=kinds)[0]

    def find_all(self, *names: str, kinds: str = "file folder") -> list[Path]:
        """All files or folders of the first of `names` of which there is one, the least deep first."""
        wanted = " or ".join(repr(name) for name in names)
        root = self.root or public_root()
        for name in names:
            for pattern in (name, f"{name}.gz"):
                found = [p for p in root.glob(f"**/{pattern}") if ("folder" if p.is_dir() else "file") in kinds]
                if found:
                    return sorted(found, key=lambda path: (len(path.parts), path))
        if self.root is None:
            raise InputError(
                f"--data-dir: a folder that holds {wanted} is needed, or what `python -m experiments data get` fetches"
            )
        raise InputError(f"--data-dir: {str(self.root)!r} holds no {wanted}, at any depth")

    def has(self, *names: str, kinds: str = "file folder") -> bool:
        """Whether `find` would find one."""
        try:
            self.find(*names, kinds=kinds)
        except InputError:
            return False
        return True

    def text(self, *names: str) -> str:
        """The text of a file. Raises `InputError`."""
        return read_text(self.find(*names, kinds="file"))

    def lines(self, *names: str) -> list[str]:
        """The lines of a file, without empty lines at its end."""
        return self.text(*names).rstrip("\n").split("\n")

    def jsonl(self, *names: str, fields: Mapping[str, Fields] = {}) -> list[dict[str, Any]]:
        """The objects of a file of JSON lines, each with `fields` of these types. Raises `InputError`."""
        return parse_jsonl(self.text(*names), str(self.find(*names, kinds="file")), fields)

    def table(self, *names: str, header: bool = True) -> list[list[str]]:
        """The rows of a .csv (commas, quotes) or a .tsv (tabs, no quotes); without the header, where there is one."""
        path = self.find(*names, kinds="file")
        if ".csv" in path.name:
            try:
                rows = list(csv.reader(io.StringIO(read_text(path), newline="")))
            except csv.Error as error:
                raise InputError(f"{path} cannot be read: {error}") from None
        else:
            rows = [line.split("\t") for line in read_text(path).rstrip("\n").split("\n")]
        return rows[1:] if header else rows

    def members(self, suffix: str, *names: str) -> Iterator[tuple[str, str]]:
        """(name, text) of each file that ends in `suffix` in a .zip, or in all folders of one name, by name."""
        path = self.find(*names)
        if path.is_dir():
            folders = self.find_all(*names, kinds="folder")
            for member in sorted({member for folder in folders for member in folder.rglob(f"*{suffix}")}):
                yield member.name, read_text(member)
            return
        try:
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    if name.endswith(suffix) and not Path(name).name.startswith("."):
                        yield Path(name).name, archive.read(name).decode("utf-8")
        except (zipfile.BadZipFile, zlib.error, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}") from None


def tfds_rows(dataset: str, split: str) -> list[dict[str, Any]]:
    """The examples of a TFDS dataset, their texts decoded. Raises `InputError` where TFDS cannot give them."""
    from gpt_jax.data import tfds_source

    rows = tfds_source.builder_of(dataset).as_data_source(split=split)
    return [{k: v.decode() if isinstance(v, bytes) else v for k, v in rows[n].items()} for n in range(len(rows))]


def read_text(path: Path) -> str:
    """UTF-8 text, without a byte-order mark; .gz is unpacked. Raises `InputError` that names the file."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            if not content:
                raise EOFError("a .gz file of no bytes is damaged")
            content = gzip.decompress(content)
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def parse_jsonl(text: str, where: str, fields: Mapping[str, Fields] = {}) -> list[dict[str, Any]]:
    """One object a line, each with `fields` of these types. Raises `InputError` that names the line."""
    rows = []
    for line, row in disk.parse_jsonl(text, where):
        for name, kind in fields.items():
            if not isinstance(row.get(name), kind):
                kinds = kind if isinstance(kind, tuple) else (kind,)
                one = " or ".join({str: "text", list: "a list", dict: "an object", int: "a number"}[k] for k in kinds)
                given = repr(row[name])[:40] if name in row else "nothing"
                raise InputError(f"{line}: {name!r} is {given}: {one} is needed")
        rows.append(row)
    return rows
