"""One training step is lowered for every platform, from a machine that has none of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from gpt_jax.training.state import init_state
from gpt_jax.training.step import make_train_step
from tests.parallel.eight_devices import BATCH, LENGTH, MODELS, run_config


@pytest.mark.parametrize("name", [pytest.param("gpt1", marks=pytest.mark.slow), "gpt3"])
def test_train_step_exports_for_cpu_cuda_and_tpu(name):
    config = run_config(MODELS[name])
    state = jax.eval_shape(lambda: init_state(config))
    tokens = jax.ShapeDtypeStruct((1, BATCH, LENGTH + 1), jnp.int32)
    # plain containers: what travels with an exported program
    leaves, tree = jax.tree.flatten(state)

    def step(leaves, tokens, rate, seed):
        new, metrics = make_train_step(config)(jax.tree.unflatten(tree, leaves), tokens, rate, seed)
        return jax.tree.leaves(new), metrics["train/loss"]

    exported = export.export(jax.jit(step), platforms=("cpu", "cuda", "tpu"))(
        leaves, tokens, np.float32(0), np.uint32(0)
    )
    assert exported.platforms == ("cpu", "cuda", "tpu")
    # what was exported trains here as the step itself does
    real = jax.jit(lambda seed: init_state(config, seed))(np.uint32(0))
    batch = np.random.default_rng(0).integers(0, 61, tokens.shape).astype(np.int32)
    _, loss = exported.call(jax.tree.leaves(real), batch, np.float32(1e-3), np.uint32(0))
    _, metrics = jax.jit(make_train_step(config))(real, batch, np.float32(1e-3), np.uint32(0))
    np.testing.assert_allclose(loss, metrics["train/loss"], rtol=1e-6)
