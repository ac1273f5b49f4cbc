"""What tests of checkpoints share: a small state, checkpoints of it, and how their files get damaged."""

import os

import jax
import jax.numpy as jnp

from gpt_jax.training.checkpoint import Checkpoints
from gpt_jax.training.state import TrainState


def state(step):
    values = jax.random.normal(jax.random.key(step), (40, 50))
    return TrainState(jnp.int32(step), {"w": values, "b": jnp.zeros(3)}, {"mu": values * 2})


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
