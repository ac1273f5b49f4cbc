"""Checkpoints: what is kept, and what happens to a damaged one."""

import dataclasses
import os
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gpt_jax.errors import InputError
from gpt_jax.training.checkpoint import Checkpoints
from gpt_jax.training.state import TrainState


def state(step):
    values = jax.random.normal(jax.random.key(step), (40, 50))
    return TrainState(jnp.int32(step), {"w": values, "b": jnp.zeros(3)}, {"mu": values * 2})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def written(folder, losses):
    checkpoints = Checkpoints(folder, keep_last=2, keep_best=1)
    for step, loss in enumerate(losses, 1):
        checkpoints.save(step, state(step), {"tokens": 10 * step}, loss)
    checkpoints.wait()
    return checkpoints


def newest(checkpoints, *report):
    found = checkpoints.restore(jax.eval_shape(lambda: state(1)), *report)
    assert found is not None
    return found


def test_a_state_comes_back_bit_by_bit_with_its_meta(folder):
    written(folder, [1.0]).close()
    restored, meta = newest(Checkpoints(folder))
    jax.tree.map(np.testing.assert_array_equal, restored, state(1))
    assert meta == {"tokens": 10, "loss": 1.0}


def test_the_newest_two_and_the_best_are_kept(folder):
    assert written(folder, [3.0, 1.0, 2.0, 5.0, 4.0, None]).steps() == [2, 5, 6]


def test_steps_without_a_loss_are_none_of_the_best(folder):
    assert written(folder, [None, None, None, None]).steps() == [3, 4]


def test_the_best_of_an_earlier_session_is_kept(folder):
    written(folder, [3.0, 1.0, 2.0]).close()
    checkpoints = Checkpoints(folder, keep_last=1, keep_best=1)
    for step in (4, 5):
        checkpoints.save(step, state(step), {}, 4.0)
    checkpoints.wait()
    assert checkpoints.steps() == [2, 5]


def test_a_saved_state_may_be_overwritten_at_once(folder):
    """Donation reuses the buffers of a state while its checkpoint is still being written."""
    checkpoints = Checkpoints(folder)
    double = jax.jit(lambda s: jax.tree.map(lambda x: x * 2, s), donate_argnums=0)
    current, expected = state(1), jax.tree.map(np.array, state(1))
    checkpoints.save(1, current, {}, None)
    for _ in range(20):
        current = double(current)
    checkpoints.wait()
    restored, _ = newest(checkpoints)
    jax.tree.map(np.testing.assert_array_equal, restored, expected)


def files_of(step):
    """All that Orbax and we write for a step, but what decides no number."""
    free = {"_CHECKPOINT_METADATA", "commit_success.txt"}
    return sorted(path for path in step.rglob("*") if path.is_file() and path.relative_to(step).as_posix() not in free)


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1 << position % 8
    path.write_bytes(content)


DAMAGES = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "flipped": lambda path: flip(path, path.stat().st_size // 2),
    "deleted": lambda path: path.unlink(),
}


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


def other_width():
    return dataclasses.replace(state(1), params={"w": jnp.zeros((40, 60)), "b": jnp.zeros(3)})


def other_type():
    return dataclasses.replace(state(1), params={"w": jnp.zeros((40, 50), jnp.bfloat16), "b": jnp.zeros(3)})


def other_names():
    return dataclasses.replace(state(1), params={"v": jnp.zeros((40, 50)), "b": jnp.zeros(3)})


@pytest.mark.parametrize(
    "like, said",
    [
        (other_width, r"params/w is float32 \(40, 50\), not float32 \(40, 60\)"),
        (other_type, r"params/w is float32 \(40, 50\), not bfloat16 \(40, 50\)"),
        (other_names, r"params/v is absent, not float32 \(40, 50\), params/w is float32 \(40, 50\), not absent"),
    ],
)
def test_another_models_checkpoint_is_refused_by_its_arrays_and_stays_as_it_is(folder, like, said):
    written(folder, [2.0, 3.0]).close()
    with pytest.raises(InputError, match=said):
        Checkpoints(folder).restore(jax.eval_shape(like))
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def test_what_the_caller_does_not_accept_is_refused_before_the_arrays(folder):
    written(folder, [2.0]).close()

    def refuse(meta):
        raise InputError(f"tokens is {meta['tokens']}")

    with pytest.raises(InputError, match="tokens is 10"):
        Checkpoints(folder).restore(jax.eval_shape(other_width), accept=refuse)
    assert Checkpoints(folder).steps() == [1]


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


MESHES = """
import sys
from pathlib import Path
import jax, numpy as np
from gpt_jax.config import MeshConfig
from gpt_jax.parallel.mesh import make_mesh
from gpt_jax.sharding import shaped, state_shardings
from gpt_jax.training.checkpoint import Checkpoints
from gpt_jax.training.state import init_state
from tests.training.tiny import TINY

assert jax.device_count() == 8
shapes = jax.eval_shape(lambda: init_state(TINY))
there = state_shardings(shapes, make_mesh(MeshConfig(fsdp=4, tensor=2)))
state = jax.jit(lambda: init_state(TINY, np.uint32(3)), out_shardings=there)()
split = [x.sharding.num_devices == 8 and not x.is_fully_replicated for x in jax.tree.leaves(state)]
assert sum(split) > 20
copied = []
saved = Checkpoints(Path(sys.argv[1]))
manager_save = saved._manager.save

def watched(step, args, **rest):
    copied.append(args["state"].item)
    manager_save(step, args=args, **rest)

saved._manager.save = watched
saved.save(1, state, {}, None)
saved.close()
for mine, its in zip(jax.tree.leaves(state), jax.tree.leaves(copied[0]), strict=True):
    assert mine is not its and mine.sharding == its.sharding, (mine.sharding, its.sharding)
for devices, mesh in ((8, MeshConfig(data=2, fsdp=4)), (8, MeshConfig(fsdp=2, tensor=4)), (1, MeshConfig())):
    here = state_shardings(shapes, make_mesh(mesh, jax.devices()[:devices]))
    restored, _ = Checkpoints(Path(sys.argv[1])).restore(shaped(shapes, here))
    for mine, its, sharding in zip(*map(jax.tree.leaves, (state, restored, here)), strict=True):
        assert its.sharding == sharding, (its.sharding, sharding)
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(its))
    print(devices, "devices: equal")
"""


def test_arrays_come_back_with_the_shardings_asked_for_whatever_mesh_saved_them(folder):
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", MESHES, str(folder)],
        env=environment,
        capture_output=True,
        timeout=300,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("equal") == 3
