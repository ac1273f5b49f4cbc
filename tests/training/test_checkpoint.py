"""Checkpoints: what is kept, and what happens to a damaged one."""

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
    assert meta == {"tokens": 10}


def test_the_newest_two_and_the_best_are_kept(folder):
    assert written(folder, [3.0, 1.0, 2.0, 5.0, 4.0, None]).steps() == [2, 5, 6]


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


@pytest.mark.parametrize("damage", ["truncate", "delete"])
def test_a_damaged_newest_step_is_named_and_the_one_before_it_used(folder, damage):
    written(folder, [2.0, 3.0]).close()
    for path in [p for p in (folder / "2" / "state").rglob("*") if p.is_file()]:
        path.unlink() if damage == "delete" else path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    said = []
    checkpoints = Checkpoints(folder)
    restored, meta = newest(checkpoints, said.append)
    jax.tree.map(np.testing.assert_array_equal, restored, state(1))
    assert meta == {"tokens": 10} and len(said) == 1 and str(folder / "2") in said[0]
    assert (folder / "damaged-2").exists() and checkpoints.steps() == [1]
    checkpoints.save(2, state(2), {"tokens": 20}, 1.0)  # its place is free again
    checkpoints.wait()
    assert checkpoints.steps() == [1, 2]


def test_reading_alone_changes_nothing(folder):
    written(folder, [2.0, 3.0]).close()
    (folder / "2" / "state" / "_METADATA").write_text("{")
    before = sorted(p.name for p in folder.iterdir())
    Checkpoints(folder).restore(jax.eval_shape(lambda: state(1)), discard=False)
    assert sorted(p.name for p in folder.iterdir()) == before


def test_no_readable_checkpoint_is_an_error_and_none_at_all_is_not(folder):
    assert Checkpoints(folder).restore(jax.eval_shape(lambda: state(1))) is None
    written(folder, [2.0]).close()
    (folder / "1" / "state" / "_METADATA").write_text("{")
    with pytest.raises(InputError, match="no checkpoint can be read"):
        Checkpoints(folder).restore(jax.eval_shape(lambda: state(1)))
