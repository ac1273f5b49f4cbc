"""What products cost in each type: measured once a machine, and the config of a run holds a type."""

import json

import jax
import jax.numpy as jnp
import pytest

import gpt_jax.machine
from experiments.runs.preflight import settled
from gpt_jax import GPT, ModelConfig
from gpt_jax.config import RunConfig, digest, override
from gpt_jax.errors import InputError
from gpt_jax.model import fastest

MEASURED = {"float32": 0.02, "bfloat16": 0.01}
AUTO = override(RunConfig(), {"model.matmul_dtype": "auto"})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(fastest, "_measured", lambda: MEASURED)
    return tmp_path / "products.json"


def test_products_are_measured_once_a_machine(cache, monkeypatch):
    assert fastest.product_seconds() == MEASURED
    monkeypatch.setattr(fastest, "_measured", lambda: pytest.fail("measured again"))
    assert fastest.product_seconds() == MEASURED
    assert json.loads(cache.read_text(encoding="utf-8")) == {fastest.machine(): MEASURED}


def test_two_generations_of_one_name_are_two_machines(monkeypatch, tmp_path):
    found = {}
    for family in ("25", "26"):
        (tmp_path / family).write_text(
            f"processor\t: 0\ncpu family\t: {family}\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nflags\t\t: avx2 avx512f\n",
            encoding="utf-8",
        )
        monkeypatch.setattr(gpt_jax.machine, "CPUINFO", tmp_path / family)
        found[family] = fastest.machine()
    assert found["25"].startswith("AMD EPYC (family 25, model 17, AVX-512), ")
    assert found["26"] == found["25"].replace("family 25", "family 26")
    monkeypatch.setattr(gpt_jax.machine, "CPUINFO", tmp_path / "none")  # of a system that tells nothing
    assert "family" not in fastest.machine()


@pytest.mark.parametrize("kept", ["", "[]", '{"MACHINE": 3}', '{"MACHINE": {"float32": 1.0}}'])
def test_a_damaged_measurement_is_made_again(cache, kept):
    cache.write_text(kept.replace("MACHINE", fastest.machine()), encoding="utf-8")
    assert fastest.product_seconds() == MEASURED


def test_bfloat16_is_taken_only_where_it_is_clearly_faster():
    assert [fastest.fastest_type({"float32": 1.0, "bfloat16": b}) for b in (0.6, 0.94, 0.97, 1.2)] == [
        "bfloat16",
        "bfloat16",
        "float32",
        "float32",
    ]


def test_both_types_are_timed_on_the_same_product(monkeypatch):
    monkeypatch.setattr(fastest, "ROWS", 8)
    monkeypatch.setattr(fastest, "ROUNDS", 1)
    assert all(seconds > 0 for seconds in fastest._measured().values()) and set(fastest._measured()) == {
        "float32",
        "bfloat16",
    }


def test_auto_becomes_a_type_before_the_run_has_a_digest(cache):
    said = []
    explicit = override(AUTO, {"model.matmul_dtype": "bfloat16"})
    one, other = settled({"auto": AUTO, "explicit": RunConfig()}, said.append).values()
    assert one == explicit and digest(one) == digest(explicit) and other == RunConfig()
    assert len(said) == 1 and "20.0 ms in float32, 10.0 ms in bfloat16" in said[0]
    assert settled({"explicit": explicit}, said.append) == {"explicit": explicit} and len(said) == 1


def test_a_model_refuses_auto_in_one_line():
    with pytest.raises(InputError, match=r"model.matmul_dtype: 'auto' is not allowed here"):
        jax.eval_shape(
            GPT(ModelConfig(vocab_size=8, n_layer=1, matmul_dtype="auto")).init,
            jax.random.key(0),
            jnp.zeros((1, 1), jnp.int32),
        )
