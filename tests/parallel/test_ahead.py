"""Programs for chips that are not here. Needs libtpu (extra `tpu`), which only compiles."""

import dataclasses
import importlib.util
import json
import re

import pytest

from experiments.cli import main
from gpt_jax.config import override
from gpt_jax.errors import InputError
from gpt_jax.parallel.ahead import compile_ahead, parse_mesh, topology_devices
from gpt_jax.parallel.chips import TPUS
from gpt_jax.parallel.lowering import lower_step
from gpt_jax.parallel.mesh import make_mesh
from tests.parallel.eight_devices import MODELS, run_config

HAS_LIBTPU = importlib.util.find_spec("libtpu") is not None
needs_libtpu = pytest.mark.skipif(not HAS_LIBTPU, reason="libtpu is not installed (extra `tpu`)")


def wide(scan: bool = True):
    """A model wide enough for splash attention: 4 heads of 64, 512 tokens."""
    config = run_config(MODELS["gpt3-scan"])
    return override(
        config,
        {
            "model.d_model": 256,
            "model.n_head": 4,
            "model.d_head": "none",
            "model.d_ff": "none",
            "model.context_length": 512,
            "model.vocab_size": 1000,
            "model.scan_layers": scan,
            "model.compute_dtype": "bfloat16",
            "model.attention_implementation": "kernel",
            "training.batch_tokens": 8 * 512,
            "training.train_tokens": 8 * 512,
        },
    )


@pytest.mark.slow
@needs_libtpu
def test_a_config_compiles_for_a_tpu_slice_and_the_report_adds_up():
    config = dataclasses.replace(wide(), mesh=parse_mesh("fsdp=4,tensor=2"))
    report = compile_ahead(config, "v5e:2x4")
    assert report.devices == 8 and report.mesh == {"data": 1, "fsdp": 4, "tensor": 2}
    # parameters and two moments in float32, split over all 8 devices; small ones are whole, and padded to tiles
    assert 12 * report.parameters / 8 <= report.argument_bytes < 12 * report.parameters / 8 * 1.5
    assert report.argument_bytes < report.peak_bytes < TPUS["v5e"].memory and report.fits
    # each layer's weights are gathered from 4 devices in bfloat16, forward and backward
    layers = 12 * 256 * 256 * 4
    gathered = report.collectives["all-gather"][1]
    assert gathered > 2 * 2 * layers / 2 * 3 / 4
    assert report.attention == "Dense() by splash, Banded(window=3) by splash"
    assert report.step_seconds >= report.compute_seconds > 0 and 0 < report.utilisation <= 0.75


@pytest.mark.slow
@needs_libtpu
def test_no_copy_of_every_layer_s_weights_is_kept_in_the_products_type():
    """The compiler would round the stacked weights before the loops, and gather what is not rounded in float32."""
    config = dataclasses.replace(override(wide(), {"model.n_layer": 6}), mesh=parse_mesh("fsdp=2,tensor=2"))
    mesh = make_mesh(config.mesh, topology_devices("v5e:2x2"))
    module = lower_step(config, mesh, 1, 8).compile().as_text() or ""
    weights = {"128,3,2,64", "2,64,128", "128,512", "512,128"}  # of 256 and 4 heads of 64, over 2 x 2
    stacked = {dimensions for kind, dimensions in re.findall(r"= (\w+)\[3,([\d,]+)\]", module) if kind == "bf16"}
    assert "f32[3,128,512]" in module and not weights & stacked
    gathered = re.findall(r"= (\w+)\[(?:1,)?(256,3,2,64|2,64,256|256,512|512,256)\]\S* all-gather\(", module)
    assert gathered and {kind for kind, _ in gathered} == {"bf16"}


@pytest.mark.slow
@needs_libtpu
def test_full_remat_needs_less_memory_than_none():
    one_device_each = parse_mesh("data=4")
    peaks = {
        remat: compile_ahead(
            dataclasses.replace(override(wide(), {"model.remat": remat}), mesh=one_device_each), "v5e:2x2"
        ).peak_bytes
        for remat in ("none", "full")
    }
    assert peaks["full"] < peaks["none"]


@pytest.mark.slow
@needs_libtpu
def test_what_does_not_fit_says_how_much_is_missing(capsys):
    command = ["compile", "gpt3-1.3b", "--topology", "v5e:2x2", "--mesh", "data=4", "--json"]
    assert main([*command, "training.micro_batch=4", "training.batch_ramp_tokens=0"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["fits"]
    # 1.3 billion parameters and two moments alone are 14.7 GiB, and gradients 4.9 more, of 16
    assert 2 * 2**30 < report["missing_bytes"] < 40 * 2**30


@pytest.mark.parametrize(
    "text, said",
    [
        ("fsdp=0", "fsdp=0"),
        ("fsdp", "'fsdp'"),
        ("pipe=2", "'pipe'"),
        ("fsdp=2,fsdp=4", "each axis once"),
    ],
)
def test_a_mesh_that_cannot_be_read_is_named(text, said):
    with pytest.raises(InputError, match=said):
        parse_mesh(text)


@pytest.mark.parametrize("topology", ["v5x:4x4", "v5e", "v5e:four"])
def test_an_unknown_topology_is_named_with_status_2(topology, capsys):
    assert main(["compile", "gpt2-124m", "--topology", topology]) == 2
    assert topology in capsys.readouterr().err
