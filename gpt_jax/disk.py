"""Where prepared data lives, and the few file operations that keep it whole.

The root is `$GPT_JAX_CACHE`, or `~/.cache/gpt_jax`. Everything below it can be deleted at any time: it is made
again from the source. A file appears under its final name only when it is complete (`write_atomically`), and
one process at a time writes a folder (`lock`), so that interrupted and concurrent preparations do no harm.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gpt_jax.errors import InputError

ALWAYS_HASHED = 16 << 20  # bytes: a smaller file is hashed at every opening


def cache_root(cache_dir: Path | None = None) -> Path:
    """`cache_dir`, or `$GPT_JAX_CACHE`, or `~/.cache/gpt_jax`; made if missing.

    Raises:
      InputError: it cannot be made.
    """
    root = Path(cache_dir or os.environ.get("GPT_JAX_CACHE") or Path.home() / ".cache" / "gpt_jax").expanduser()
    try:
        (root / "locks").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"GPT_JAX_CACHE: {str(root)!r} cannot be written: {error.strerror}") from None
    return root


def keep_compiled_programs() -> None:
    """Has JAX keep what it compiles below the cache; also what takes a tenth of a second, as an evaluation's dozens of
    shapes do."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache_root() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def digest_of(value: Any) -> str:
    """Sixteen hexadecimal digits naming a JSON value: equal values, equal digest."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes `content` so that `path` holds the old or the new bytes, never a part of them."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(partial, path)


@contextmanager
def lock(root: Path, name: str) -> Iterator[None]:
    """Holds `name` for this process; a second process waits. Released when the holder dies."""
    with open(root / "locks" / name, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Digests:
    """sha256 of files, remembered in `folder` by path, size and modification time.

    Files under 16 MiB are hashed every time, which costs milliseconds; larger ones only when they changed.
    """

    def __init__(self, folder: Path):
        self._path = folder / "digests.json"
        try:
            self._known: dict[str, list] = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def __call__(self, path: Path) -> str:
        """The sha256 of the file `path`. Raises `OSError` where it cannot be read."""
        stat = path.stat()
        if stat.st_size < ALWAYS_HASHED:
            return sha256(path)
        key, state = str(path.resolve()), [stat.st_size, stat.st_mtime_ns]
        known = self._known.get(key)
        if known and known[:2] == state:
            return known[2]
        digest = sha256(path)
        self._known[key] = [*state, digest]
        with suppress(OSError):  # a cache that may only be read is hashed anew each time
            write_atomically(self._path, json.dumps(self._known))
        return digest
