"""A run folder: which run it belongs to, whether the run is finished, and which process writes the folder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from experiments.experiment import RunIdentity
from experiments.runs.environment import environment
from gpt_jax.config import RunConfig, differences, digest, to_dict
from gpt_jax.disk import NO_LOCKS, read_json, write_atomically
from gpt_jax.errors import InputError
from gpt_jax.loading import read_run

LOCK = ".lock"


def read_folder(folder: Path) -> tuple[RunConfig, RunIdentity]:
    """The config and identity of a run folder. Raises `InputError` if it is none, or is damaged."""
    config, identity = read_run(folder)
    try:
        return config, RunIdentity(**identity)
    except TypeError:
        raise InputError(f"{folder / 'config.json'} is damaged: it does not read as a run's config") from None


def result_of(folder: Path, config: RunConfig) -> dict[str, Any] | None:
    """The result of a finished run of `config`; None if the folder is new or the run is partial.

    An empty `result.json`, or one of NUL bytes alone, is what a power cut leaves: that run is partial.

    Raises:
      InputError: the folder belongs to another config (the differing keys are named), or a file in it is damaged.
    """
    if not (folder / "config.json").exists():
        return None
    changed = differences(read_folder(folder)[0], config)
    if changed:
        shown = ", ".join(f"{key} is {theirs!r}, not {ours!r}" for key, (theirs, ours) in changed.items())
        raise InputError(f"{folder} holds a run of another config: {shown}: choose another --out, or remove it")
    result = folder / "result.json"
    return read_json(result, dict) if result.exists() and not left_blank(result) else None


def left_blank(path: Path) -> bool:
    """Whether a file holds nothing, or NUL bytes alone: what a power cut leaves of a file just made."""
    return path.is_file() and not path.read_bytes().strip(b"\0")


def claim(folder: Path, config: RunConfig, identity: RunIdentity) -> None:
    """Writes what makes `folder` the run folder of `config`, and removes what broken-off writes left in it."""
    for path in folder.glob(".*.partial"):
        if path.is_file():
            path.unlink()
    if (folder / "config.json").exists():
        return
    write_atomically(folder / "environment.json", json.dumps(environment(), indent=2) + "\n")
    content = {**to_dict(config), "digest": digest(config), "identity": vars(identity)}
    write_atomically(folder / "config.json", json.dumps(content, indent=2) + "\n")


def note_how(folder: Path, how: dict[str, Any]) -> list[dict[str, Any]]:
    """Adds to `environment.json` how this session makes the run; the sessions before it that were made in other ways.

    A run that was made in two ways repeats bit for bit in neither.
    """
    path = folder / "environment.json"
    content = read_json(path, dict)
    ways = content.get("how", [])
    if not ways or ways[-1] != how:
        ways = [*ways, how]
        write_atomically(path, json.dumps({**content, "how": ways}, indent=2) + "\n")
    return ways[:-1]


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Makes this process the only one that writes `folder`, which exists. The system lets go when the process dies.

    `folder/.lock` says who holds it, and is removed at the end. A file system without locks is no error: there the
    folder is not protected.

    Raises:
      InputError: another process holds it; its number and its machine are named.
    """
    path = folder / LOCK
    handle = _locked(path)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path) -> int:
    """A locked handle of the file `path`. Its last holder may remove it between our opening and our locking it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (*NO_LOCKS, errno.EWOULDBLOCK):
                os.close(handle)
                raise
            if error.errno == errno.EWOULDBLOCK:
                holder = os.read(handle, 200).decode(errors="replace") or "another process"
                os.close(handle)
                raise InputError(
                    f"{path.parent} is being written by {holder}: one process at a time is allowed: wait for it, or "
                    "stop it"
                ) from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        os.close(handle)
