"""Windows on disk: which tokens they hold, and that an interruption changes no byte."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_jax.data.shards import Layout, write_shards


class Killed(Exception):
    """Stands for the end of the process."""


def cut(stream, bounds):
    """`batches(first)` of a stream cut at `bounds`."""
    edges = [0, *sorted(bounds), len(stream)]
    parts = [stream[a:b] for a, b in itertools.pairwise(edges)]
    return lambda first: iter(parts[first:])


def read(folder, shards, dtype):
    from array_record.python.array_record_module import ArrayRecordReader

    records = []
    for shard in shards:
        reader = ArrayRecordReader(str(folder / shard.file))
        records += [np.frombuffer(record, dtype).tolist() for record in reader.read_all()]
        reader.close()
    return records


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".array_record"}


@given(
    length=st.integers(0, 90),
    bounds=st.lists(st.integers(0, 90), max_size=8),
    context_length=st.integers(1, 7),
    windows_per_shard=st.integers(2, 6),
    keep_short=st.booleans(),
)
def test_every_token_but_the_first_is_predicted_once(
    tmp_path_factory, length, bounds, context_length, windows_per_shard, keep_short
):
    folder = tmp_path_factory.mktemp("shards")
    stream = np.arange(1000, 1000 + length)
    layout = Layout(context_length, "uint16", windows_per_shard, keep_short)
    shards = write_shards(folder, "train", layout, cut(stream, [min(b, length) for b in bounds]))
    windows = read(folder, shards, "uint16")
    predicted = [token for window in windows for token in window[1:]]
    kept = len(predicted) if not keep_short else max(length - 1, 0)
    assert predicted == stream[1 : kept + 1].tolist()
    assert max(length - 1, 0) - kept < context_length
    assert [window[0] for window in windows] == stream[:kept:context_length].tolist()
    assert all(len(window) == context_length + 1 for window in windows[: None if not keep_short else -1])
    assert sum(shard.windows for shard in shards) == len(windows)
    assert (shards[-1].tokens if shards else 0) == kept


@given(
    bounds=st.lists(st.integers(0, 200), max_size=12),
    killed_at=st.integers(0, 13),
    windows_per_shard=st.integers(3, 9),
    keep_short=st.booleans(),
)
def test_an_interrupted_writing_goes_on_to_the_same_bytes(
    tmp_path_factory, bounds, killed_at, windows_per_shard, keep_short
):
    folder, whole = tmp_path_factory.mktemp("interrupted"), tmp_path_factory.mktemp("whole")
    batches = cut(np.arange(200) * 7, bounds)
    layout = Layout(5, "uint32", windows_per_shard, keep_short)
    expected = write_shards(whole, "train", layout, batches)

    def dying(first):
        for number, batch in enumerate(batches(first)):
            if number == killed_at:
                raise Killed
            yield batch

    try:
        write_shards(folder, "train", layout, dying)
    except Killed:
        assert write_shards(folder, "train", layout, batches) == expected
    assert contents(folder) == contents(whole)


def test_finished_shards_are_not_made_again(tmp_path):
    stream = np.arange(100)
    layout = Layout(4, "uint16", 3, keep_short=False)
    batches, asked = cut(stream, range(10, 100, 10)), []

    def dying(first):
        asked.append(first)
        yield from list(batches(first))[:4]
        raise Killed

    with pytest.raises(Killed):
        write_shards(tmp_path, "train", layout, dying)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("train-*.array_record")}
    assert len(before) == 3  # 40 tokens came: three times 12 and one more
    with pytest.raises(Killed):
        write_shards(tmp_path, "train", layout, dying)
    assert asked == [0, 3]  # token 36, where the fourth shard starts, is in batch 3
    assert before.items() <= {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.array_record")}.items()


def test_a_shard_damaged_meanwhile_is_made_again(tmp_path):
    layout, batches = Layout(4, "uint16", 3, keep_short=True), cut(np.arange(100), [10, 20, 70])
    write_shards(tmp_path, "train", layout, batches)
    expected = contents(tmp_path)
    (tmp_path / "train-00001.array_record").write_bytes(b"damaged")
    write_shards(tmp_path, "train", layout, batches)
    assert contents(tmp_path) == expected
