"""What is a full disk, and what is not: the system's numbers decide, and never an error's words."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.runs.full_disk import DiskFull, named_when_full

WORDS = os.strerror(errno.ENOSPC)


def save(error: Exception) -> None:
    """Raises `error` in what looks like a function of Orbax."""
    exec("def fail(): raise error", module := {"__name__": "orbax.checkpoint", "error": error})
    module["fail"]()


@pytest.fixture
def small_files():
    """No file may be larger than 16 KiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_the_number_of_an_error_or_of_one_that_led_to_it_decides(tmp_path: Path, number):
    with pytest.raises(DiskFull, match=f"{os.strerror(number)}.*make room"), named_when_full(tmp_path):
        try:
            raise OSError(number, "whatever it says")
        except OSError as error:
            raise RuntimeError("a library's own") from error


def test_a_save_that_fails_without_room_is_a_full_disk_whatever_it_says(tmp_path: Path, small_files):
    with pytest.raises(DiskFull, match=os.strerror(errno.EFBIG)), named_when_full(tmp_path):
        save(ValueError("a library's own"))


def test_an_error_that_only_speaks_of_a_full_disk_stays_what_it_is(tmp_path: Path, small_files):
    with pytest.raises(ValueError, match="^" + WORDS), named_when_full(tmp_path):
        raise ValueError(WORDS)
    with pytest.raises(PermissionError), named_when_full(tmp_path):
        raise PermissionError(errno.EACCES, WORDS)


def test_a_save_that_fails_with_room_stays_what_it_is(tmp_path: Path):
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    (tmp_path / "checkpoints" / "4" / "d").write_bytes(bytes(1000))
    with pytest.raises(ValueError, match="^" + WORDS), named_when_full(tmp_path):
        save(ValueError(WORDS))
    assert not list(tmp_path.glob("tmp*"))


UNFINISHED = """
from experiments.runs.full_disk import hush_writers
{hush}
async def write():
    pass
write()
import warnings
warnings.warn("something else", RuntimeWarning)
"""


@pytest.mark.parametrize(("hush", "told"), [("", True), ("hush_writers()", False)])
def test_a_write_that_never_began_is_not_told_beside_the_one_line_and_other_warnings_are(hush, told):
    process = subprocess.run(
        [sys.executable, "-c", UNFINISHED.format(hush=hush)], capture_output=True, encoding="utf-8", check=True
    )
    assert ("never awaited" in process.stderr) == told
    assert "something else" in process.stderr
