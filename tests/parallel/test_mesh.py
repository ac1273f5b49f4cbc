"""Every mesh trains like one device, and gathers parameters only where they are used."""

import itertools
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from gpt_jax.config import MeshConfig, digest, override
from gpt_jax.errors import InputError
from gpt_jax.parallel.mesh import (
    batch_sharding,
    check_batch,
    make_mesh,
    mesh_shape,
    mesh_utils,
    process_rows,
    put_batch,
    tpu_grid,
)
from gpt_jax.sharding import PARAMETERS, partition, state_shardings
from gpt_jax.training.state import init_state
from tests.devices import with_devices
from tests.parallel import eight_devices
from tests.parallel.eight_devices import MODELS, run_config

ALL_MESHES = [m for m in itertools.product((1, 2, 4, 8), repeat=3) if math.prod(m) == 8]
TOLERANCE = 1e-5  # losses in nats/token after 5 float32 steps


def eight(models: list[str], meshes: Sequence[tuple[int, ...]]) -> tuple[dict, str]:
    """What the program in eight_devices.py printed, and what XLA complained of."""
    env = {**os.environ, "XLA_FLAGS": with_devices(8), "PYTHONPATH": "."}
    program = [
        sys.executable,
        eight_devices.__file__,
        ",".join(models),
        ",".join("x".join(map(str, m)) for m in meshes),
    ]
    root = Path(__file__).parents[2]
    done = subprocess.run(program, env=env, cwd=root, capture_output=True, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module", params=["gpt3-scan", pytest.param("gpt2", marks=pytest.mark.slow)])
def trained(request) -> tuple[dict, str]:
    return eight([request.param], [(1, 8, 1), (2, 2, 2)])


def assert_equal_to_one_device(runs: dict) -> None:
    for model, meshes in runs.items():
        alone = meshes.pop("losses")
        assert alone[-1] != alone[0]
        for mesh, run in meshes.items():
            np.testing.assert_allclose(run["losses"], alone, atol=TOLERANCE, err_msg=f"{model} on {mesh}")
            assert run["largest parameter gap"] < TOLERANCE, f"{model} on {mesh}"


def test_meshes_train_like_one_device(trained):
    assert_equal_to_one_device(json.loads(json.dumps(trained[0])))


def test_no_parameter_is_rematerialised_whole(trained):
    assert "rematerialization" not in trained[1].lower()


def test_layers_are_gathered_one_by_one_and_gradients_are_not_kept_whole(trained):
    """In the scanned model, nothing that is gathered has an axis of layers; all parameters together never are."""
    if "gpt3-scan" not in trained[0]:
        pytest.skip("its layers are not scanned")
    config = MODELS["gpt3-scan"]
    hlo = trained[0]["gpt3-scan"]["1x8x1"]["hlo"]
    gathered = [[int(n) for n in shape.split(",")] for shape in re.findall(r"= \w+\[([\d,]+)\]\S* all-gather\(", hlo)]
    assert gathered
    layer = max(config.d_model * config.mlp_width, 3 * config.d_model * config.n_head * config.head_width)
    table = 128 * config.d_model  # 61 entries, padded
    activations = eight_devices.BATCH * eight_devices.LENGTH * config.d_model
    assert max(map(math.prod, gathered)) <= max(layer, table, activations)


@pytest.mark.slow
def test_every_mesh_of_eight_trains_gpt_1_2_and_3_like_one_device():
    """Numbers only: with data = 1 and both other axes split, XLA copies the looked-up activations whole, and warns."""
    runs, _ = eight(["gpt1", "gpt2", "gpt2-untied", "gpt3"], ALL_MESHES)
    assert all(len(meshes) == len(ALL_MESHES) + 1 for meshes in runs.values())
    assert_equal_to_one_device(runs)


@pytest.mark.slow
def test_every_pattern_scanned_trains_on_meshes_like_one_device():
    runs, _ = eight([name for name in MODELS if name.startswith("gpt3-")], [(2, 4, 1), (1, 2, 4), (2, 2, 2)])
    assert_equal_to_one_device(runs)


def test_every_large_parameter_and_its_moments_are_split():
    config = run_config(MODELS["gpt3-scan"])
    mesh = jax.sharding.AbstractMesh((2, 2, 2), ("data", "fsdp", "tensor"))
    shapes = jax.eval_shape(lambda: init_state(config))
    named = jax.tree_util.tree_flatten_with_path(shapes)[0]
    specs = {}
    for path, leaf in named:
        name = "/".join(str(getattr(k, "key", getattr(k, "name", k))) for k in path)
        axes = next((a for end, a in PARAMETERS.items() if f"/{name}".endswith(f"/{end}")), ())
        specs[name] = (leaf, partition(axes, leaf.shape, mesh))
    large = {name: spec for name, (leaf, spec) in specs.items() if leaf.size > 2000}
    assert len([n for n in large if n.startswith("params/")]) >= 8
    for name, spec in large.items():
        split = [axis for part in spec if part for axis in ((part,) if isinstance(part, str) else part)]
        assert sorted(split) == ["fsdp", "tensor"], (name, spec)
        parameter = name[name.index("blocks") :] if "blocks" in name else name.rpartition("/")[2]
        assert spec == specs[f"params/{parameter}"][1], f"{name} does not lie where its parameter does"


def test_an_axis_that_a_mesh_does_not_divide_stays_whole():
    mesh = jax.sharding.AbstractMesh((1, 4, 2), ("data", "fsdp", "tensor"))
    assert partition(("embed", None, "heads", None), (32, 3, 5, 8), mesh) == jax.P(("fsdp",), None, None, None)
    assert partition((None, "table"), (50257, 12), mesh) == jax.P(None, ("fsdp",))


def test_a_mesh_needs_all_devices_and_says_so():
    assert mesh_shape(MeshConfig(fsdp=4), 8) == (2, 4, 1)
    with pytest.raises(InputError, match=r"data=1, fsdp=3, tensor=1 .* the 8 devices|data=2, fsdp=3"):
        mesh_shape(MeshConfig(fsdp=3), 8)
    mesh = jax.sharding.AbstractMesh((2, 4, 1), ("data", "fsdp", "tensor"))
    with pytest.raises(InputError, match=r"training\.micro_batch: 12 .* = 8"):
        check_batch(mesh, 12)  # type: ignore[arg-type]


def test_the_mesh_is_no_part_of_what_a_run_is():
    config = run_config(MODELS["gpt2"])
    assert digest(override(config, {"mesh.fsdp": 8})) == digest(config)


def test_a_batch_arrives_whole_and_in_order():
    mesh = make_mesh(MeshConfig())
    tokens = np.arange(2 * 4 * 3, dtype=np.int32).reshape(2, 4, 3)
    rows = process_rows(mesh, 4)
    assert rows == slice(0, 4)
    placed = put_batch(mesh, rows, 4, tokens[:, rows])
    np.testing.assert_array_equal(placed, tokens)
    assert placed.sharding == batch_sharding(mesh, tokens.shape)


def test_shardings_of_a_state_are_a_tree_like_it():
    config = run_config(MODELS["gpt2"])
    shapes = jax.eval_shape(lambda: init_state(config))
    assert jax.tree.structure(state_shardings(shapes, make_mesh(MeshConfig()))) == jax.tree.structure(shapes)


def test_each_slice_of_a_tpu_has_its_part_of_the_data_axis(monkeypatch):
    devices = [SimpleNamespace(slice_index=n // 4, id=n) for n in range(8)]
    arrange = lambda shape, devices, **_: np.array(devices, object).reshape(shape)  # noqa: E731
    monkeypatch.setattr(mesh_utils, "create_device_mesh", arrange)
    grid = tpu_grid((2, 4, 1), devices)
    assert [[d.id for d in row[:, 0]] for row in grid] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(InputError, match=r"mesh\.data: 1 .* multiple of the 2 slices"):
        tpu_grid((1, 8, 1), devices)
