"""A damaged checkpoint is named, and the step before it is read; what is whole by its digests is never put aside."""

import os
import shutil

import jax
import numpy as np
import pytest

from gpt_jax.errors import InputError
from gpt_jax.training.checkpoint import Checkpoints
from tests.training.saved import DAMAGES, files_of, flip, newest, state, written


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_named_and_the_step_before_is_used(folder, tmp_path, kind):
    """Each file of the newest step in turn, the arrays' own among them."""
    written(folder, [2.0, 3.0]).close()
    names = [path.relative_to(folder / "2") for path in files_of(folder / "2")]
    assert max(names, key=lambda name: (folder / "2" / name).stat().st_size).match("ocdbt.process_0/d/*")
    for number, name in enumerate(names):
        if (name.name, kind) == ("digests.json", "deleted"):
            continue  # then nothing is known to be wrong: the step is read, and reported
        copy, said = tmp_path / f"copy-{number}", []
        shutil.copytree(folder, copy)
        DAMAGES[kind](copy / "2" / name)
        checkpoints = Checkpoints(copy)
        restored, meta = newest(checkpoints, said.append)
        checkpoints.close()
        jax.tree.map(np.testing.assert_array_equal, restored, state(1))
        assert meta["tokens"] == 10 and len(said) == 1 and str(copy / "2") in said[0]
        if name.name != "digests.json":
            assert str(name) in said[0]
            assert {"truncated": " of ", "flipped": "SHA-256", "deleted": "missing"}[kind] in said[0]


@pytest.mark.parametrize("position", [0, 1, 999, 4000, 7001])
def test_any_flipped_bit_of_the_arrays_is_seen(folder, position):
    written(folder, [2.0, 3.0]).close()
    flip(max(files_of(folder / "2"), key=lambda path: path.stat().st_size), position)
    said = []
    assert newest(Checkpoints(folder), said.append)[1]["tokens"] == 10 and "SHA-256" in said[0]


def test_the_place_of_a_damaged_step_is_free_again(folder):
    written(folder, [2.0, 3.0]).close()
    for _ in range(2):  # twice: what was put aside before makes room
        flip(max(files_of(folder / "2"), key=lambda path: path.stat().st_size), 50)
        checkpoints = Checkpoints(folder)
        newest(checkpoints)
        assert (folder / "damaged-2").exists() and checkpoints.steps() == [1]
        checkpoints.save(2, state(2), {"tokens": 20}, 1.0)
        checkpoints.wait()
        assert checkpoints.steps() == [1, 2]
        checkpoints.close()
    assert newest(Checkpoints(folder))[1]["tokens"] == 20


def test_a_step_without_digests_is_read_and_reported(folder):
    written(folder, [2.0, 3.0]).close()
    (folder / "2" / "digests.json").unlink()
    said = []
    restored, _ = newest(Checkpoints(folder), said.append)
    jax.tree.map(np.testing.assert_array_equal, restored, state(2))
    assert len(said) == 1 and "read unchecked" in said[0]


def without_mark(step):
    (step / "commit_success.txt").unlink(missing_ok=True)


def test_a_step_that_lost_its_commit_mark_is_whole_by_its_digests(folder):
    """Orbax 0.12.0 to 0.12.2 write no mark, and a copy may lack it."""
    written(folder, [2.0, 3.0]).close()
    without_mark(folder / "2")
    said = []
    assert newest(Checkpoints(folder), said.append)[1]["tokens"] == 20 and not said


def test_a_step_with_neither_digests_nor_mark_is_named(folder):
    written(folder, [2.0, 3.0]).close()
    without_mark(folder / "2")
    (folder / "2" / "digests.json").unlink()
    said = []
    assert newest(Checkpoints(folder), said.append)[1]["tokens"] == 10
    assert str(folder / "2") in said[0] and "commit_success.txt" in said[0]


def test_copies_with_other_times_and_without_the_mark_are_read(folder, tmp_path):
    written(folder, [2.0, 3.0]).close()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    for path in copy.rglob("*"):
        os.utime(path, (1e9, 1e9))
    for step in copy.iterdir():
        without_mark(step)
    restored, meta = newest(Checkpoints(copy), pytest.fail)
    jax.tree.map(np.testing.assert_array_equal, restored, state(2))
    assert meta["tokens"] == 20


def test_a_save_broken_off_before_the_digests_is_no_step_and_is_cleared_away(folder, monkeypatch):
    checkpoints = written(folder, [2.0])

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gpt_jax.training.checkpoint.digests", full)
    checkpoints.save(2, state(2), {"tokens": 20}, None)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.wait()
    monkeypatch.undo()
    assert len([path for path in folder.iterdir() if path.name.startswith("2.")]) == 1
    checkpoints = Checkpoints(folder)
    assert newest(checkpoints)[1]["tokens"] == 10
    assert [path.name for path in folder.iterdir()] == ["1"]


def test_a_lack_of_something_else_is_not_damage(folder, monkeypatch):
    """A checkpoint whose files are whole is never put aside, whatever its reading raises."""
    written(folder, [2.0, 3.0]).close()
    checkpoints = Checkpoints(folder)

    def out_of_memory(*_, **__):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(checkpoints._manager, "restore", out_of_memory)
    with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED"):
        newest(checkpoints)
    assert checkpoints.steps() == [1, 2]


def test_reading_alone_changes_nothing(folder):
    written(folder, [2.0, 3.0]).close()
    (folder / "2" / "state" / "_METADATA").write_text("{", encoding="utf-8")
    before = sorted(p.name for p in folder.iterdir())
    Checkpoints(folder).restore(jax.eval_shape(lambda: state(1)), discard=False)
    assert sorted(p.name for p in folder.iterdir()) == before


def test_no_readable_checkpoint_is_an_error_and_none_at_all_is_not(folder):
    assert Checkpoints(folder).restore(jax.eval_shape(lambda: state(1))) is None
    written(folder, [2.0]).close()
    (folder / "1" / "state" / "_METADATA").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="no checkpoint can be read"):
        Checkpoints(folder).restore(jax.eval_shape(lambda: state(1)))
