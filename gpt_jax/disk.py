"""How everything is written and read: whole files, locks, JSON, and where the cache is.

The cache's root is `$GPT_JAX_CACHE`, or `~/.cache/gpt_jax`. The cache can be deleted at any time, and is made again
from the source. A file appears under its final name only when the file is complete and synced (`write_atomically`). One
process at a time writes a folder (`lock`). Therefore interrupted and concurrent preparations do no harm. A reader needs
neither a lock nor the right to write.
"""

from __future__ import annotations

import errno
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
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)  # another user's files, or a file system that is only read
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
MOST_DIGITS = 300  # of a whole number in JSON: with more it is no finite float
DEEPEST = 100  # lists and objects inside each other in JSON


# --- the cache ---


def cache_root(cache_dir: Path | None = None) -> Path:
    """`cache_dir`, or `$GPT_JAX_CACHE`, or `~/.cache/gpt_jax`. No folder is made here: the writer makes it.

    Raises:
      InputError: the user has no home folder, and no other place is named.
    """
    try:
        return Path(cache_dir or os.environ.get("GPT_JAX_CACHE") or "~/.cache/gpt_jax").expanduser()
    except RuntimeError as error:
        raise InputError(f"GPT_JAX_CACHE: {error}: set GPT_JAX_CACHE to a folder that you may write") from None


@contextmanager
def denials_named(root: Path) -> Iterator[None]:
    """Turns a denied read or write below the cache into an `InputError` that names GPT_JAX_CACHE."""
    try:
        yield
    except OSError as error:
        if error.errno not in DENIED or not Path(str(error.filename or root)).is_relative_to(root):
            raise
        raise unusable(root, error) from None


@contextmanager
def lock(root: Path, name: str) -> Iterator[None]:
    """Holds `name` for this process, which is to write below the cache. A second process waits.

    The system releases the lock when its holder dies.

    Raises:
      InputError: the cache cannot be written, or its file system has no locks; it names GPT_JAX_CACHE.
    """
    with denials_named(root):
        try:
            (root / "locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(root, error) from None
        with open(root / "locks" / name, "ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                raise unusable(root, error) if error.errno in NO_LOCKS else error from None
            yield


def unusable(root: Path, error: OSError) -> InputError:
    """What to say of a cache where the system refuses to read, write or lock: it names GPT_JAX_CACHE."""
    wrong = "has a file system without locks" if error.errno in NO_LOCKS else "cannot be used"
    said = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return InputError(
        f"GPT_JAX_CACHE: the cache {str(root)!r} {wrong} ({said}): set GPT_JAX_CACHE to a folder that you may write"
    )


def keep_compiled_programs() -> None:
    """Has JAX keep what it compiles below the cache; also what takes a tenth of a second, as an evaluation's dozens of
    shapes do. Where the cache cannot be written, nothing is kept."""
    import jax

    folder = cache_root() / "xla"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


# --- whole files ---


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes `content` so that `path` holds the old or the new bytes, never a part of them, also after a power cut."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        move_whole(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def move_whole(partial: Path, path: Path) -> None:
    """Gives a file, or a folder of files, its final name once its bytes are on the disk."""
    for part in [*partial.iterdir(), partial] if partial.is_dir() else [partial]:
        _sync(part)
    os.replace(partial, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Has the system write a file, or a folder's list of names; some file systems cannot do the second."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)


# --- JSON ---


def parse_json(text: str, where: str) -> Any:
    """JSON as plain values. `where` names the file, or file and line, in the error.

    Raises:
      InputError: text that is not JSON, or is JSON that nothing else here could hold: nested more than `DEEPEST` deep,
        whole numbers of more than `MOST_DIGITS` digits, half of a surrogate pair.
    """
    try:
        value = json.loads(text, parse_int=_whole_number)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError(f"{where}: not valid Unicode: half of a surrogate pair is no character") from None
    except RecursionError:
        raise _too_deep(where) from None
    except ValueError as error:
        raise InputError(f"{where}: not JSON: {_reason(text, error)}") from None
    if max(text.count("["), text.count("{")) > DEEPEST / 2 and _is_deep(value):
        raise _too_deep(where)
    return value


def read_json(path: Path, kind: type | None = None) -> Any:
    """The JSON value in a file; `kind` is `dict` or `list` where nothing else is allowed.

    Raises:
      InputError: a file that is missing, unreadable, empty, damaged or of another kind, by its name.
    """
    value = parse_json(read_utf8(path), str(path))
    if kind is not None and not isinstance(value, kind):
        name = "a JSON object" if kind is dict else "a JSON array"
        raise InputError(f"{path}: holds {type(value).__name__}: {name} is allowed")
    return value


def read_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """ "FILE:LINE" and the object of each line that is not empty. Raises `InputError` that names file and line."""
    yield from parse_jsonl(read_utf8(path), str(path))


def parse_jsonl(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """ "NAME:LINE" and the object of each line that is not empty. Raises `InputError` that names the line."""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.lstrip("\ufeff")  # a byte-order mark, as joined files have in the middle
        if line.strip():
            where = f"{name}:{number}"
            value = parse_json(line, where)
            if not isinstance(value, dict):
                raise InputError(f"{where}: not a JSON object")
            yield where, value


def read_utf8(path: Path) -> str:
    """The text of a file, without a byte-order mark; ends of line are kept as they are. Raises `InputError`."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from None
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _whole_number(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _is_deep(value: Any) -> bool:
    """Whether lists and objects are inside each other more than `DEEPEST` deep; goes down level by level."""
    level, depth = [value], 0
    while level:
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level, depth = [v for values in inner for v in values if isinstance(v, dict | list)], depth + 1
        if depth > DEEPEST:
            return True
    return False


def _too_deep(where: str) -> InputError:
    return InputError(f"{where}: lists and objects are nested too deep: at most {DEEPEST} are allowed")


def _reason(text: str, error: ValueError) -> str:
    if not text.strip():
        return "it is empty"
    if "\0" in text and not text.strip("\0\n"):
        return "it holds nothing but NUL bytes, as a power cut leaves a file"
    return str(error)


# --- digests ---


def digest_of(value: Any) -> str:
    """Sixteen hexadecimal digits naming a JSON value: equal values, equal digest."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


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
        self._known: dict[str, list] = {}
        with suppress(InputError):
            self._known = read_json(self._path, dict)

    def __call__(self, path: Path) -> str:
        """The sha256 of the file `path`. Raises `OSError` where it cannot be read."""
        stat = path.stat()
        if stat.st_size < ALWAYS_HASHED:
            return sha256(path)
        key, state = str(path.resolve()), [stat.st_size, stat.st_mtime_ns]
        known = self._known.get(key)
        if isinstance(known, list) and known[:2] == state and len(known) == 3:
            return known[2]
        digest = sha256(path)
        self._known[key] = [*state, digest]
        with suppress(OSError):  # in a cache that is only read, it is hashed again the next time
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(self._known))
        return digest
