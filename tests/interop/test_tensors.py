"""Arrays come back bit for bit, however they lie in memory; what cannot come back is refused."""

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

from gpt_jax.errors import InputError
from gpt_jax.interop import load_pretrained, save_pretrained
from gpt_jax.interop.tensors import write_tensors
from tests.interop.weights_folders import TINY, assert_same, random_params

PLAIN = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


ARRAYS = {
    "transposed": PLAIN.T,
    "fortran": np.asfortranarray(PLAIN),
    "permuted": PLAIN.reshape(2, 3, 8).transpose(2, 0, 1),
    "sliced": PLAIN[1::2, ::3],
    "column": PLAIN[:, 3],
    "negative stride": PLAIN[::-1, ::-1],
    "broadcast": np.broadcast_to(PLAIN[0], (4, 8)),
    "zero-size": PLAIN[:, :0],
    "scalar": PLAIN[0, 0],
    "0-d": np.array(2.5, np.float32),
    "read-only": read_only(PLAIN.T),
    "big-endian": PLAIN.astype(">f4").T,
    "float64": PLAIN.astype(np.float64).T / 3,
    "float16": PLAIN.astype(np.float16)[:, ::2],
    "bfloat16": PLAIN.astype(ml_dtypes.bfloat16).T,
    "jax": jnp.asarray(PLAIN).T,
    "nan and -0": np.array([np.nan, -0.0, np.inf], np.float32)[::-1],
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_any_memory_order_come_back_bit_for_bit(name, tmp_path):
    write_tensors(tmp_path / "a.safetensors", {"x": ARRAYS[name], "y": PLAIN}, {})
    found = load_file(tmp_path / "a.safetensors")
    given = np.asarray(ARRAYS[name])
    native = given.astype(given.dtype.newbyteorder("="))
    assert (found["x"].shape, found["x"].dtype) == (native.shape, native.dtype)
    assert found["x"].tobytes() == native.tobytes() and found["y"].tobytes() == PLAIN.tobytes()


@pytest.mark.parametrize("dtype", ["int32", "complex64", "object", "bool", "<U3"])
def test_what_is_no_weight_is_refused_before_anything_is_written(dtype, tmp_path):
    with pytest.raises(InputError, match=r"params: x is .*: allowed: float32, bfloat16, float16, float64"):
        write_tensors(tmp_path / "a.safetensors", {"x": np.zeros(3).astype(dtype)}, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["fortran", "big-endian", "negative"])
def test_a_model_of_arrays_of_any_memory_order_is_the_same_model(form, tmp_path):
    params = random_params(TINY)
    forms = {
        "fortran": np.asfortranarray,
        "big-endian": lambda leaf: np.asarray(leaf, ">f4"),
        "negative": lambda leaf: np.ascontiguousarray(np.asarray(leaf)[::-1])[::-1],
    }
    import jax

    save_pretrained(TINY, jax.tree.map(forms[form], params), tmp_path)
    assert_same(load_pretrained(tmp_path)[1], params)
