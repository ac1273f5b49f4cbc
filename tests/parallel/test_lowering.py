"""The programs of a training run, laid out over a mesh."""

import jax
import numpy as np
import pytest

import configs
from gpt_jax.config import override
from gpt_jax.numerics import pinned
from gpt_jax.parallel.lowering import initializer
from gpt_jax.parallel.mesh import make_mesh
from gpt_jax.training.state import init_state, state_shapes

SMALL = {"model.vocab_size": 300, "model.n_layer": 3, "model.d_model": 48, "model.n_head": 3}


@pytest.fixture
def optimized():
    """As users have it: programs of tests are compiled with hardly any optimization."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"model.architecture": "lstm"}, {"model.scan_layers": True}])
def test_a_first_state_that_is_compiled_quickly_has_the_same_bits(changes, optimized):
    config = override(configs.get("quickstart"), {**SMALL, **changes})
    mesh = make_mesh(config.mesh, devices=jax.devices()[:1])
    with pinned():
        thorough = jax.jit(lambda seed: init_state(config, seed))(np.uint32(7))
        quick = initializer(config, mesh)(np.uint32(7))
    assert jax.tree.structure(thorough) == jax.tree.structure(quick)
    for one, other in zip(jax.tree.leaves(thorough), jax.tree.leaves(quick), strict=True):
        np.testing.assert_array_equal(one, other)


def test_shapes_are_those_of_the_state():
    config = override(configs.get("quickstart"), SMALL)
    with pinned():
        state = init_state(config)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state_shapes(config)
    )
