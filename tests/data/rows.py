"""What tests of sources share: rows with and without text, written in every format, and all text of a source."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard


def read(source):
    return ["".join(document.parts()) for document in source.documents()]


ROWS = [{"body": f"row {n}", "text": f"text {n}"} for n in range(5)] + [
    {"body": None, "text": None},
    {"body": "", "text": ""},
]


def write_rows(path, rows=ROWS):
    """`rows` in the format that the file's name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path, row_group_size=2)
    elif path.suffix == ".arrow":
        table = pa.table(columns)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    else:
        path.write_bytes(packed(path, lines))


def packed(path, content):
    """`content` in two halves, each a member or frame of its own."""
    halves = content[: len(content) // 2], content[len(content) // 2 :]
    if path.suffix == ".gz":
        return b"".join(map(gzip.compress, halves))
    if path.suffix == ".zst":
        skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"  # what pzstd writes between frames
        return skippable.join(map(zstandard.compress, halves))
    return content
