"""The optional kernels give what block attention gives, are chosen only where they apply, and compile for TPU."""

import dataclasses
import functools
import importlib.util
import os
import re
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.determinism import FLAGS
from gpt_jax.attention.block import block_attention
from gpt_jax.attention.kernels import choose, first_keys, kernel_attention, window
from gpt_jax.attention.parts import Band
from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Pattern, Strided

KERNEL_PATTERNS = [Dense(), Banded(100)]


@pytest.mark.parametrize(
    "pattern, platform, dtype, head_width, length, dropout, answer",
    [
        (Dense(), "cpu", "bfloat16", 64, 1024, 0.0, "platform"),
        (Dense(), "tpu", "bfloat16", 64, 1024, 0.0, "splash"),
        (Banded(256), "tpu", "float32", 128, 2048, 0.0, "splash"),
        (Banded(256), "tpu", "float32", 128, 256, 0.0, "512 positions"),
        (Banded(256), "tpu", "float32", 80, 2048, 0.0, "multiple of 64"),
        (Dense(), "tpu", "bfloat16", 64, 1024, 0.1, "drops attention"),
        (Dense(), "gpu", "bfloat16", 64, 1024, 0.0, "cudnn"),
        (Banded(256), "cuda", "float16", 128, 1024, 0.0, "cudnn"),
        (Banded(256), "cuda", "float32", 128, 1024, 0.0, "bfloat16 and float16"),
        (Dense(), "cuda", "bfloat16", 60, 1024, 0.0, "multiple of 8"),
        (Dense(), "cuda", "bfloat16", 192, 1024, 0.0, "up to 128"),
        (Dense(), "cuda", "bfloat16", 64, 1024, 0.1, "drops attention"),
        (Strided(64), "tpu", "bfloat16", 64, 16_384, 0.0, "splash"),
        (Strided(64), "tpu", "bfloat16", 64, 4096, 0.0, "62 positions"),
        (Fixed(64, 8), "cuda", "bfloat16", 64, 8192, 0.0, "cudnn"),
        (Fixed(64, 8), "cuda", "bfloat16", 64, 4096, 0.0, "63 positions"),
        (LogSparse(64), "tpu", "bfloat16", 64, 4096, 0.0, "splash"),
    ],
)
def test_a_kernel_is_chosen_only_where_it_applies(pattern, platform, dtype, head_width, length, dropout, answer):
    kernel, reason = choose(pattern, platform, dtype, head_width, length, dropout)
    assert answer in reason if kernel is None else answer == kernel


@pytest.mark.parametrize(
    "flags, kernel",
    [
        ("", "cudnn"),
        ("--xla_gpu_deterministic_ops=false", "cudnn"),
        ("--xla_gpu_deterministic_ops=true", None),
        ("--xla_gpu_deterministic_ops", None),
        ("--xla_gpu_deterministic_ops=true --xla_gpu_deterministic_ops=false", "cudnn"),
        (" ".join(FLAGS), None),
    ],
)
def test_cudnn_is_not_chosen_under_deterministic_flags(monkeypatch, flags, kernel):
    monkeypatch.setenv("XLA_FLAGS", flags)
    found, reason = choose(Dense(), "cuda", "bfloat16", 64, 1024, 0.0)
    assert found == kernel and ("deterministic" in reason) == (kernel is None)
    assert choose(Dense(), "tpu", "bfloat16", 64, 1024, 0.0).kernel == "splash"


def test_a_pattern_from_outside_is_served_by_its_parts():
    @dataclasses.dataclass(frozen=True)
    class Newest(Pattern):
        width: int

        def allows(self, i, j):
            return (j <= i) & (i - j < self.width)

        def parts(self, length):
            return (Band(self.width),)

    assert choose(Newest(100), "tpu", "bfloat16", 64, 1024, 0.0).kernel == "splash"
    assert window(Newest(100), 1024) == 100 and window(Newest(2000), 1024) == 1024


@pytest.mark.parametrize("pattern", [pytest.param(Dense(), marks=pytest.mark.slow), Banded(100)], ids=repr)
def test_splash_interpreted_equals_block_attention_in_value_and_gradient(pattern):
    q, k, v, out_bar = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 200, 1, 64)), jnp.float32)

    def value_and_gradients(attention):
        out, pull = jax.vjp(attention, q, k, v)
        return out, *pull(out_bar)

    splash = functools.partial(kernel_attention, pattern=pattern, kernel="splash", interpret=True)
    ours = value_and_gradients(jax.jit(functools.partial(block_attention, pattern=pattern)))
    for a, b in zip(value_and_gradients(jax.jit(splash)), ours, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


def lowered_for_cuda(function, x, monkeypatch) -> str:
    """No CUDA here: JAX is told of a cuDNN and a Hopper GPU, and the lowered program is read."""
    from jax._src.cudnn import fused_attention_stablehlo as cudnn

    monkeypatch.setattr(cudnn, "check_cudnn_version", lambda: 91100)
    monkeypatch.setattr(cudnn, "check_compute_capability", lambda capability: True)
    monkeypatch.setattr(cudnn, "is_cuda_compute_capability_equal", lambda capability: False)
    return jax.jit(function).trace(x, x, x).lower(lowering_platforms=("cuda",)).as_text().replace("\\22", '"')


@pytest.mark.parametrize("pattern", KERNEL_PATTERNS, ids=repr)
def test_cudnn_lowers_for_cuda_with_the_window_of_the_pattern(pattern, monkeypatch):
    x = jax.ShapeDtypeStruct((2, 512, 4, 64), jnp.bfloat16)
    text = lowered_for_cuda(functools.partial(kernel_attention, pattern=pattern, kernel="cudnn"), x, monkeypatch)
    assert "__cudnn$fmhaSoftmax" in text and '"mask_type": "CAUSAL"' in text
    window = pattern.window if isinstance(pattern, Banded) else 0
    assert f'"sliding_window_length": {window}' in text


@pytest.mark.parametrize(
    "pattern, windows", [(Strided(8), [9, 0]), (Fixed(8, 2), [0, 0, 0]), (LogSparse(100), [100])], ids=repr
)
def test_cudnn_lowers_each_part_of_a_pattern_forward_and_backward_without_a_mask(pattern, windows, monkeypatch):
    """A band and the columns; own blocks and two summaries; a band (its distances are plain products)."""

    def gradients(q, k, v):
        attention = functools.partial(kernel_attention, pattern=pattern, kernel="cudnn")
        return jax.grad(lambda *x: attention(*x).astype(jnp.float32).sum(), (0, 1, 2))(q, k, v)

    text = lowered_for_cuda(gradients, jax.ShapeDtypeStruct((2, 1025, 4, 64), jnp.bfloat16), monkeypatch)
    assert text.count("custom_call @__cudnn$fmhaSoftmax(") == len(windows)
    assert text.count("custom_call @__cudnn$fmhaSoftmaxBackward(") == len(windows)
    found = [int(width) for width in re.findall(r'"sliding_window_length": (\d+)', text)]
    assert sorted(found) == sorted(2 * windows)
    assert text.count('"mask_type": "CAUSAL"') == 2 * len(windows) and "ScaleBias" not in text


@pytest.mark.parametrize("pattern", KERNEL_PATTERNS, ids=repr)
def test_an_odd_number_of_positions_gets_one_more(pattern, monkeypatch):
    """JAX refuses an odd number with a gradient."""

    def gradients(q, k, v):
        attention = functools.partial(kernel_attention, pattern=pattern, kernel="cudnn")
        return jax.grad(lambda *x: attention(*x).astype(jnp.float32).sum(), (0, 1, 2))(q, k, v)

    text = lowered_for_cuda(gradients, jax.ShapeDtypeStruct((2, 513, 4, 64), jnp.bfloat16), monkeypatch)
    assert "tensor<2x514x4x64xbf16>" in text and "__cudnn$fmhaSoftmaxBackward(" in text


def test_decoding_lowers_for_cuda_with_the_number_of_keys_of_each_row(monkeypatch):
    def decode(q, k, v):
        return first_keys(q[:, :1], k, v, jnp.asarray([1, 300], jnp.int32))

    text = lowered_for_cuda(decode, jax.ShapeDtypeStruct((2, 512, 4, 64), jnp.bfloat16), monkeypatch)
    assert "__cudnn$fmhaSoftmax(" in text and '"mask_type": "PADDING"' in text


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["v5e:2x2", "v5p:2x2x1"])
def test_splash_compiles_every_pattern_ahead_of_time_for_tpu(topology):
    """Each piece has three kernels: forward, and the gradients of queries and of keys and values."""
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu is not installed (extra tpu)")
    program = f"""
        import functools, jax, jax.numpy as jnp
        from jax.experimental import topologies
        from jax.sharding import Mesh, NamedSharding, PartitionSpec
        from gpt_jax.attention.kernels import kernel_attention
        from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Strided

        devices = topologies.get_topology_desc(platform="tpu", topology_name="{topology}").devices
        sharding = NamedSharding(Mesh(devices[:1], "x"), PartitionSpec())
        x = jax.ShapeDtypeStruct((2, 2304, 4, 64), jnp.bfloat16, sharding=sharding)
        expected = {{Dense(): 1, Banded(256): 1, Strided(8): 2, Fixed(16, 2): 3, LogSparse(256): 1}}
        for pattern, pieces in expected.items():
            attention = functools.partial(kernel_attention, pattern=pattern, kernel="splash")
            gradients = jax.jit(jax.grad(lambda q, k, v: attention(q, k, v).astype(jnp.float32).sum(), (0, 1, 2)))
            compiled = gradients.trace(x, x, x).lower(lowering_platforms=("tpu",)).compile().as_text()
            assert compiled.count('custom_call_target="tpu_custom_call"') == 3 * pieces, pattern
        print("compiled")
    """
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment,
        capture_output=True,
        timeout=600,
        encoding="utf-8",
    )
    assert result.stdout.endswith("compiled\n"), result.stderr[-2000:]
