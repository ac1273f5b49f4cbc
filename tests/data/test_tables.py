"""Rows in Parquet, Arrow and packed JSON lines: every format gives the same texts, and damage is named."""

import pytest

from gpt_jax.data.sources import open_source
from gpt_jax.errors import InputError
from tests.data.rows import packed, read, write_rows

FORMATS = ["x.parquet", "x.arrow", "x.jsonl", "x.jsonl.zst", "x.jsonl.gz", "x.json.gz", "x.json.zst"]


@pytest.mark.parametrize("file", FORMATS)
def test_every_format_of_rows_gives_the_same_texts_and_counts_rows_without(tmp_path, root, file):
    write_rows(tmp_path / "rows" / file)
    for key, word in (("text", "text"), ("body", "row")):
        source = open_source("local:rows", tmp_path, root, key)
        for _ in range(2):  # a second reading counts nothing twice
            assert read(source) == [f"{word} {n}" for n in range(5)]
            assert source.left_out == {"rows without text": 2}
    assert open_source("local:rows", tmp_path, root).digest != source.digest  # another column is other text


def test_a_zst_text_of_several_frames_is_read_whole(tmp_path, root):
    text = "na\u00efve\r\n" * 100_000
    (tmp_path / "x.txt.zst").write_bytes(packed(tmp_path / "x.txt.zst", text.encode()))
    assert read(open_source("local:x.txt.zst", tmp_path, root)) == [text]


@pytest.mark.parametrize("file", ["x.parquet", "x.arrow", "x.jsonl.zst", "x.txt.zst", "x.jsonl.gz"])
@pytest.mark.parametrize("left", [0, 0.3, 0.9])
def test_a_packed_file_that_is_empty_or_cut_short_is_named(tmp_path, root, file, left):
    if file.startswith("x.txt"):
        (tmp_path / file).write_bytes(packed(tmp_path / file, b"text of a file " * 50))
    else:
        write_rows(tmp_path / file)
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content[: int(len(content) * left)])
    with pytest.raises(InputError, match=f"{file}' is a damaged") as error:
        read(open_source(f"local:{file}", tmp_path, root))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["x.parquet", "x.arrow"])
def test_a_missing_column_is_refused_with_those_there_are(tmp_path, root, file):
    write_rows(tmp_path / file)
    with pytest.raises(InputError, match="'txt': did you mean 'text'\\? allowed: body, text"):
        read(open_source(f"local:{file}", tmp_path, root, "txt"))
