"""A task's public files as they are distributed: what is damaged is named."""

import gzip

import pytest

from gpt_jax.data.public_files import Files, read_text
from gpt_jax.errors import InputError


def test_a_packed_file_of_no_bytes_or_cut_short_is_damaged(tmp_path):
    path = tmp_path / "x.txt.gz"
    whole = gzip.compress(b"a line\r\nanother\n")
    path.write_bytes(whole)
    assert read_text(path) == "a line\nanother\n" and Files(tmp_path).lines("x.txt") == ["a line", "another"]
    for content in (b"", whole[:5], whole[:-3], b"not packed"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.txt\.gz cannot be read: "):
            Files(tmp_path).text("x.txt")
