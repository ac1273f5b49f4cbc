"""Checkpoints: a state comes back as it was, and as many as were asked for are kept."""

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gpt_jax.errors import InputError
from gpt_jax.training.checkpoint import Checkpoints
from tests.devices import with_devices
from tests.training.saved import newest, state, written


def test_a_state_comes_back_bit_by_bit_with_its_meta(folder):
    written(folder, [1.0]).close()
    restored, meta = newest(Checkpoints(str(folder)))  # as a notebook names it
    jax.tree.map(np.testing.assert_array_equal, restored, state(1))
    assert meta == {"tokens": 10, "loss": 1.0}


def test_arrays_of_any_memory_order_come_back_and_one_without_elements_is_refused_by_name(folder):
    numbers = np.arange(12.0)
    arrays = {
        "transposed": numbers.reshape(3, 4).T,
        "backwards": numbers[::-2],
        "sliced": numbers.reshape(3, 4)[:, 1:3],
    }
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, arrays, {}, None)
    checkpoints.wait()
    restored, _ = checkpoints.restore(arrays) or pytest.fail("nothing is there")
    jax.tree.map(np.testing.assert_array_equal, restored, arrays)
    with pytest.raises(InputError, match=r"checkpoint: layer/b has shape \(0, 3\)"):
        checkpoints.save(2, {"layer": {"b": np.zeros((0, 3))}}, {}, None)


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
        "XLA_FLAGS": with_devices(8),
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
