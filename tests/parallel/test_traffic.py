"""What a step moves, from the mesh and the model."""

import dataclasses
import importlib.util

import pytest

import configs
from gpt_jax.config import override
from gpt_jax.parallel.ahead import compile_ahead, parse_mesh
from gpt_jax.parallel.traffic import predicted
from tests.parallel.test_ahead import wide


def test_gpt3_175b_by_hand():
    """96 layers of 12 d^2 (and small change); bfloat16 gathered twice, float32 scattered once, over 64; tensor 8."""
    config = override(
        configs.get("gpt3-175b-dense"),
        {
            "training.batch_tokens": 512 * 2048,
            "training.batch_ramp_tokens": 0,
        },
    )
    moved = predicted(config, data=1, fsdp=64, tensor=8)
    blocks = 96 * 12 * 12288**2 / 8
    assert moved["weights"] == pytest.approx(2 * 2 * blocks * 63 / 64, rel=1e-3)
    assert moved["gradients"] == pytest.approx(4 * blocks * 63 / 64, rel=1e-3)
    stream = 8 * 2048 * 12288 * 2  # 8 sequences on a device
    assert moved["activations"] == pytest.approx(96 * 12 * stream * 7 / 8)


def test_one_device_sends_nothing_and_copies_only_gradients():
    config = wide()
    assert sum(predicted(config, 1, 1, 1).values()) == 0
    assert {what for what, sent in predicted(config, 8, 1, 1).items() if sent} == {"gradients"}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed (extra `tpu`)")
@pytest.mark.parametrize("mesh", ["fsdp=8", "fsdp=4,tensor=2", "data=8"])
def test_the_compiled_module_sends_what_the_formula_says(mesh):
    config = override(wide(), {"model.n_layer": 8, "model.d_model": 512, "model.n_head": 8})
    report = compile_ahead(dataclasses.replace(config, mesh=parse_mesh(mesh)), "v5e:2x4")
    measured = sum(sent for _, sent in report.collectives.values())
    assert measured == pytest.approx(sum(report.predicted.values()), rel=0.35)
