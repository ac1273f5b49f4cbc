"""Every recipe by name: what it promises, and that it can be trained where it says."""

import dataclasses

import numpy as np
import pytest

import configs
from gpt_jax.config import override
from gpt_jax.errors import InputError
from gpt_jax.parallel.ahead import parse_mesh
from gpt_jax.parallel.mesh import AXES, batch_parts, check_batch, mesh_shape
from gpt_jax.training.plan import make_plan


class Grid:
    """A mesh's shape, without its devices."""

    def __init__(self, sizes):
        self.shape = dict(zip(AXES, sizes, strict=True))


def on_its_slice(name):
    recipe = configs.recipe(name)
    assert recipe.slice is not None
    config = override(recipe.config, recipe.slice.changes)
    return dataclasses.replace(config, mesh=parse_mesh(recipe.slice.mesh)), recipe.slice.topology


@pytest.mark.parametrize("name", configs.names())
def test_a_recipe_says_what_it_reaches_and_on_what(name):
    recipe = configs.recipe(name)
    assert recipe.name == name and recipe.config == configs.get(name)
    assert recipe.reaches and recipe.data
    steps, losses = [m.step for m in recipe.milestones], [m.loss for m in recipe.milestones]
    assert steps == sorted(steps) and losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("name", configs.names())
def test_every_step_of_a_recipe_fits_the_mesh_that_it_is_meant_for(name):
    """The batch ramp of GPT-3 starts with fewer sequences than the mesh has rows."""
    config, topology = on_its_slice(name)
    chips = int(np.prod([int(n) for n in topology.partition(":")[2].split("x")]))
    grid = Grid(mesh_shape(config.mesh, chips))
    plan = make_plan(config, batch_parts(grid))  # type: ignore[arg-type]
    check_batch(grid, plan.micro_batch)  # type: ignore[arg-type]
    assert plan.micro_batch * plan.accumulation == config.training.batch_tokens // config.model.context_length
    assert (plan.sequences >= 1).all() and plan.sequences.max() <= plan.micro_batch * plan.accumulation


@pytest.mark.slow
@pytest.mark.parametrize("name", configs.names())
def test_every_recipe_lowers_for_its_slice_as_train_would_run_it(name):
    """All of its layers, on all of the slice's chips, with the batch that its ramp needs; XLA compiles some of them."""
    pytest.importorskip("libtpu")
    from gpt_jax.parallel.ahead import topology_devices
    from gpt_jax.parallel.lowering import lower_step
    from gpt_jax.parallel.mesh import make_mesh

    config, topology = on_its_slice(name)
    mesh = make_mesh(config.mesh, topology_devices(topology))
    plan = make_plan(config, batch_parts(mesh))
    program = lower_step(config, mesh, plan.accumulation, plan.micro_batch).as_text()
    chips = int(np.prod([int(n) for n in topology.partition(":")[2].split("x")]))
    assert f"mhlo.num_partitions = {chips} " in program
    batch = (plan.accumulation, plan.micro_batch, config.model.context_length + 1)
    assert f"tensor<{'x'.join(map(str, batch))}xi32>" in program


def test_a_recipe_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(InputError, match="'gpt2-124': did you mean 'gpt2-124m'"):
        configs.recipe("gpt2-124")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2-1.5b", "gpt3-1.3b"])
def test_a_recipe_compiles_for_its_slice_as_train_would_run_it(name):
    pytest.importorskip("libtpu")
    from gpt_jax.parallel.ahead import compile_ahead

    config, topology = on_its_slice(name)
    report = compile_ahead(config, topology)
    assert report.fits, report.missing_bytes
    assert report.peak_bytes < report.memory_bytes
