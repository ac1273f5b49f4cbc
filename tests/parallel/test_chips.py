"""A chip has its own published figure or none: never that of another whose name begins alike."""

import types

import jax
import pytest

from gpt_jax.parallel import chips


def devices(monkeypatch, kind, count=4):
    device = types.SimpleNamespace(device_kind=kind, platform="gpu" if "NVIDIA" in kind else "tpu")
    monkeypatch.setattr(jax, "devices", lambda: [device] * count)
    monkeypatch.setattr(jax, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("kind", "tera"),
    [
        ("TPU v4", 275),
        ("TPU v5 lite", 197),
        ("TPU v5", 459),
        ("TPU v6 lite", 918),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
    ],
)
def test_published_peaks_are_summed_over_devices(monkeypatch, kind, tera):
    devices(monkeypatch, kind)
    assert chips.peak_flops() == 4 * tera * 1e12


@pytest.mark.parametrize(
    "kind",
    [
        "TPU v4 lite",
        "TPU v5 something",
        "TPU v6",
        "TPU8i",
        "NVIDIA H100",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA H200 NVL",
        "NVIDIA H20",
        "NVIDIA A10",
        "NVIDIA GH200 480GB",
        "NVIDIA B200",
        "Tesla V100-SXM2-16GB",
        "",
    ],
)
def test_a_chip_that_is_not_in_the_table_is_unknown(monkeypatch, kind):
    devices(monkeypatch, kind)
    assert chips.peak_flops() is None


def test_the_peak_of_a_cpu_is_a_products_speed():
    assert 1e8 < (chips.peak_flops() or 0) < 1e16
