"""Whole files, locks, JSON, and the cache's place (gpt_jax/disk.py)."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpt_jax import disk
from gpt_jax.config import DataConfig
from gpt_jax.data.prepare import prepare
from gpt_jax.errors import InputError


def test_tests_read_no_cache_of_the_user():
    assert disk.cache_root() != Path("~/.cache/gpt_jax").expanduser() and "gpt_jax_tests" in str(disk.cache_root())


BYTES = DataConfig(source="local", tokenizer="bytes")
NOBODY = 65534


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 1000 + "]" * 1000, "nested too deep"),
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 150 + "1" + "}" * 150, "nested too deep"),
        ("9" * 5000, "a number of 5000 digits"),
        ("-" + "9" * 400, "a number of 401 digits"),
        ("", "it is empty"),
        ("\0" * 512, "nothing but NUL bytes"),
        ('{"a": ', "not JSON"),
        ('["\\ud800"]', "not valid Unicode"),
        ('{"\\uDFFF": 1}', "not valid Unicode"),
    ],
)
def test_json_that_nothing_could_hold_is_named_by_file(text: str, said: str, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"a\.json: .*{said}"):
        disk.read_json(path)


def test_json_that_is_wide_or_holds_a_pair_of_surrogates_is_read(tmp_path):
    value = {
        "wide": [[n, {"n": n}] for n in range(500)],
        "smile": "\U0001f600",
        "deep": json.loads("[" * 90 + "]" * 90),
    }
    (tmp_path / "a.json").write_text(json.dumps(value), encoding="utf-8-sig")
    assert disk.read_json(tmp_path / "a.json", dict) == value


def test_a_line_of_json_is_named_by_file_and_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n[2]\n', encoding="utf-8")
    lines = disk.read_jsonl(tmp_path / "a.jsonl")
    assert next(lines) == (f"{tmp_path}/a.jsonl:1", {"a": 1})
    with pytest.raises(InputError, match=r"a\.jsonl:3: not a JSON object"):
        next(lines)


@pytest.mark.parametrize(("content", "said"), [(b"caf\xe9", "not UTF-8"), (b"[1]", "a JSON object is allowed")])
def test_json_of_another_encoding_or_kind_is_named(content: bytes, said: str, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=said):
        disk.read_json(tmp_path / "a.json", dict)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a"
    disk.write_atomically(path, "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        disk.write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_file_is_synced_before_it_gets_its_name_and_the_folder_after(tmp_path, monkeypatch):
    seen = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda d: (seen.append(os.readlink(f"/proc/self/fd/{d}")), sync(d))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append("replace"), replace(a, b))[1])
    disk.write_atomically(tmp_path / "a", "text")
    assert [Path(name).name for name in seen] == [f".a.{os.getpid()}.partial", "replace", tmp_path.name]


def test_without_a_home_the_cache_has_to_be_named(monkeypatch):
    monkeypatch.delenv("GPT_JAX_CACHE", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what it does where no home folder is known
    with pytest.raises(InputError, match=r"^GPT_JAX_CACHE: .*set GPT_JAX_CACHE to a folder"):
        disk.cache_root()


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with (
        pytest.raises(InputError, match=r"GPT_JAX_CACHE: .* has a file system without locks"),
        disk.lock(tmp_path, "a"),
    ):
        pass


def test_a_cache_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with (
        pytest.raises(InputError, match=r"GPT_JAX_CACHE: .*file/cache' cannot be used"),
        disk.lock(tmp_path / "file" / "cache", "a"),
    ):
        pass


@pytest.fixture
def shared():
    """A folder that another user can read: the text, and a cache in which it is prepared."""
    folder = Path(tempfile.mkdtemp(prefix="gpt_jax_cache_"))
    (folder / "text").mkdir()
    (folder / "text" / "a.txt").write_text("a few words of text. " * 200, encoding="utf-8")
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def as_another_user(folder: Path) -> Iterator[None]:
    """As a user who may read the folder and not write it."""
    for path in [folder, *folder.rglob("*")]:
        os.chmod(path, 0o555 if path.is_dir() else 0o444)
    own = os.geteuid()
    try:
        if own == 0:
            os.seteuid(NOBODY)
        yield
    finally:
        os.seteuid(own)
        for path in [folder, *folder.rglob("*")]:
            os.chmod(path, 0o755)


@pytest.mark.parametrize("tokenizer", ["bytes", "sentencepiece"])
def test_a_prepared_corpus_is_read_from_a_cache_that_cannot_be_written(tokenizer: str, shared):
    data = DataConfig(source="local", tokenizer=tokenizer)

    def prepared(context_length: int):
        return prepare(
            data,
            vocab_size=290,
            context_length=context_length,
            data_dir=shared / "text",
            cache_dir=shared / "cache",
        )

    windows = prepared(16).train_windows
    before = sorted(shared.rglob("*"))
    with as_another_user(shared):
        assert prepared(16).train_windows == windows
        with pytest.raises(InputError, match=r"^GPT_JAX_CACHE: "):
            prepared(17)
    assert sorted(shared.rglob("*")) == before


def test_what_is_prepared_is_neither_locked_nor_written(shared, monkeypatch):
    def again():
        prepare(BYTES, vocab_size=257, context_length=16, data_dir=shared / "text", cache_dir=shared / "cache")

    again()
    shutil.rmtree(shared / "cache" / "locks")
    monkeypatch.setattr(fcntl, "flock", lambda *_: pytest.fail("locked"))
    again()
    assert not (shared / "cache" / "locks").exists()
