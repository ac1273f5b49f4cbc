"""What the compiler is told changes no number."""

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.model import products


def test_cudas_row_by_row_stream_is_the_same_stream(monkeypatch):
    """Values and cotangents pass; the program says the layout of both."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), jnp.float32)
    run = jax.jit(lambda x: jax.value_and_grad(lambda x: (products.stream(x) ** 2).sum())(x))
    expected = run(x)
    monkeypatch.setattr(products, "on_cuda", lambda: True)
    row_by_row = jax.jit(lambda x: jax.value_and_grad(lambda x: (products.stream(x) ** 2).sum())(x))
    jax.tree.map(np.testing.assert_array_equal, row_by_row(x), expected)
    assert row_by_row.lower(x).as_text().count("@LayoutConstraint") == 2
