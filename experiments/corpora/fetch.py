"""Files of the catalogue, fetched: checked by their SHA-256, kept in the cache, from the first address that has them.

A file gets its name only after its checksum was right: what is cut or changed is never accepted. A transfer that was
cut goes on where it stopped, in this call or in a later one, if the server sends a part of a file. If not, the transfer
begins again. An address that fails is followed by the next. A host that cannot be reached is asked once for all files.
One file that fails does not stop the others.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from experiments.corpora.catalogue import DataSet, PublicFile
from gpt_jax.disk import sha256, write_atomically
from gpt_jax.errors import InputError

PATIENCE = (5.0, 20.0)  # seconds for a connection, and for the next bytes of an answer
ATTEMPTS = 2  # at each address that bring nothing further
CHUNK = 1 << 16  # bytes read at once
NAMED = 3  # files that a message names
Progress = Callable[[int], None]  # bytes that have come since it was last called


@dataclass
class Fetcher:
    """Fetches files. `mirrors` are asked first: `MIRROR/SET/FILE`. `unreachable` are hosts that did not answer."""

    mirrors: Sequence[str] = ()
    progress: Progress = lambda count: None
    unreachable: dict[str, str] = field(default_factory=dict)  # why, by host

    def fetch(self, data: DataSet) -> int:
        """Fetches the files of a set that are not here, or are damaged; returns how many came.

        Raises:
          InputError: files that did not arrive, in one line: why, and what to put where. The others have.
        """
        failed: dict[str, str] = {}
        wanted = [file for file in data.files if not is_whole(data.folder / file.path, file)]
        self.progress(sum(_size(part_of(data.folder / file.path)) for file in wanted))
        for file in wanted:
            try:
                self._fetch(data, file)
            except InputError as error:
                failed[file.path] = str(error)
        if failed:
            names = ", ".join([*failed][:NAMED]) + (f" and {len(failed) - NAMED} more" if len(failed) > NAMED else "")
            raise InputError(
                f"data: {data.name}: {len(failed)} of {len(data.files)} files did not arrive "
                f"({next(iter(failed.values()))}): put {names} into {str(data.folder)!r}, or name another mirror "
                f"(`python -m experiments data list {data.name}` has addresses and checksums)"
            )
        return len(wanted)

    def _fetch(self, data: DataSet, file: PublicFile) -> None:
        addresses = [f"{mirror.rstrip('/')}/{data.name}/{quote(file.path)}" for mirror in self.mirrors]
        reasons: dict[str, None] = {}  # in order, each once
        for address in (*addresses, *file.addresses):
            host, attempts = urlsplit(address).netloc, 0
            while attempts < ATTEMPTS:
                if host in self.unreachable:
                    reasons[self.unreachable[host]] = None
                    break
                path = data.folder / file.path
                before = _size(part_of(path))
                reason = self._try(address, path, file)
                if not reason:
                    return
                reasons[reason] = None
                attempts += _size(part_of(path)) <= before
        raise InputError("; ".join(reasons))

    def _try(self, address: str, path: Path, file: PublicFile) -> str:
        """Fetches a file from one address: "" or why it did not come."""
        import requests

        url, _, member = address.partition("#")
        host = urlsplit(url).netloc
        try:
            if member:
                _unpack(self._retrieve(url, path.with_name(f".{Path(url).name}"), None), member, path)
            else:
                self._retrieve(url, path, file.sha256)
        except requests.exceptions.HTTPError as error:
            status = "no" if error.response is None else error.response.status_code
            return f"{host} says {status} for {file.path}"
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
            return f"the transfer of {file.path} from {host} was cut"
        except requests.exceptions.RequestException as error:
            self.unreachable[host] = f"{host} cannot be reached ({_in_short(error)})"
            return self.unreachable[host]
        except ValueError:  # pooch's, for a checksum
            return f"{file.path} from {host} has another checksum"
        if is_whole(path, file):
            return ""
        path.unlink(missing_ok=True)
        return f"{file.path} from {host} has another checksum"

    def _retrieve(self, url: str, path: Path, digest: str | None) -> Path:
        """pooch's `retrieve`; an archive without a known checksum is read anew each time a member of it is missing."""
        import pooch

        pooch.get_logger().setLevel("CRITICAL")
        if digest is None and path.is_file() and zipfile.is_zipfile(path):
            return path
        download: Any = _Download(part_of(path), self.progress)
        try:
            return Path(pooch.retrieve(url, digest, path.name, path.parent, downloader=download))
        except ValueError:  # another checksum: perhaps the first part came from elsewhere
            if not download.continued:
                raise
        return Path(pooch.retrieve(url, digest, path.name, path.parent, downloader=download))


class _Download:
    """pooch's protocol of a downloader. What arrives is in `part` until all of it is there."""

    def __init__(self, part: Path, progress: Progress):
        self._part, self._progress = part, progress
        self.continued = False  # the last download began with what an earlier one had left

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        import requests

        have = _size(self._part)
        with requests.get(url, headers=_headers(have), stream=True, timeout=PATIENCE) as answer:
            self.continued = have > 0 and _starts_at(answer, have)
            if have and not self.continued and answer.status_code != HTTPStatus.OK:  # it has no such part
                self._part.unlink()
                return self(url, output_file, pooch)
            answer.raise_for_status()
            with self._part.open("ab") if self.continued else self._part.open("wb") as file:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    self._progress(len(chunk))
        self._part.replace(output_file)
        return None


def part_of(path: Path) -> Path:
    """Where the first bytes of a file are while the others are missing."""
    return path.with_name(f".{path.name}.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _headers(have: int) -> dict[str, str]:
    """Bytes as they are, from number `have` on: of what is compressed on the way, no part could be asked for."""
    return {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}


def _starts_at(answer: Any, first: int) -> bool:
    return answer.status_code == HTTPStatus.PARTIAL_CONTENT and answer.headers.get("Content-Range", "").startswith(
        f"bytes {first}-"
    )


def is_whole(path: Path, file: PublicFile) -> bool:
    """Whether the file is there, with its checksum."""
    try:
        return path.stat().st_size == file.bytes and sha256(path) == file.sha256
    except OSError:
        return False


def _unpack(archive: Path, member: str, path: Path) -> None:
    """Writes one member of a .zip. A damaged archive is thrown away. Raises `ValueError`, as pooch does."""
    try:
        with zipfile.ZipFile(archive) as opened:
            write_atomically(path, opened.read(member))
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        with suppress(OSError):
            archive.unlink()
        raise ValueError(str(error)) from None


def _in_short(error: Any) -> str:
    """Why there was no connection, without the stack of classes that requests names."""
    words = f"{type(error).__name__} {error}"
    if "NameResolution" in words or "Name or service" in words or "name resolution" in words:
        return "its name is not known here: is there a network?"
    return "no answer in time" if "imeout" in words or "timed out" in words else "no connection"
