"""What the compiler is told changes no number: the gradients of products are those that JAX derives."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gpt_jax.config import ModelConfig, RunConfig, digest, override
from gpt_jax.model import products
from gpt_jax.model.products import product, weight_gradient
from gpt_jax.training.objectives import language_model_loss
from gpt_jax.training.state import init_state

RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(RANDOM.normal(size=shape), jnp.float32)


@pytest.mark.parametrize(
    ("inputs", "w"),
    [(1, normal(12, 5)), (2, normal(3, 4, 5)), (1, normal(6, 3, 2, 4))],
    ids=["wide", "heads", "narrow"],
)
@pytest.mark.parametrize("turned", [False, True])
def test_gradients_of_a_product_are_those_of_tensordot(inputs, w, turned):
    x, weights = normal(2, 7, *w.shape[:inputs]), normal(2, 7, *w.shape[inputs:])
    formed: Any = product
    ours = lambda x, w: (formed(x, w, inputs, jnp.dtype("float32"), (), False, turned) * weights).sum()  # noqa: E731
    plain = lambda x, w: (jnp.tensordot(x, w, inputs) * weights).sum()  # noqa: E731
    for found, expected in zip(jax.grad(ours, (0, 1))(x, w), jax.grad(plain, (0, 1))(x, w), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_turned_gradient_contracts_the_narrow_operand_first():
    """The compiler transposes the left operand: with `turned`, that is the narrow one."""

    def operands(x_width, g_width, turned):
        form = lambda x, g: weight_gradient(x, g, 1, jnp.dtype("float32"), turned)  # noqa: E731
        traced = jax.make_jaxpr(form)(jnp.ones((8, x_width)), jnp.ones((8, g_width)))
        (dot,) = [e for e in traced.eqns if e.primitive.name == "dot_general"]
        return [v.aval.shape[1] for v in dot.invars]

    assert operands(6, 2, turned=False) == [6, 2] and operands(6, 2, turned=True) == [2, 6]
    assert operands(2, 6, turned=True) == [2, 6]


def test_a_model_with_turned_gradients_has_the_same_gradients_and_another_digest():
    plain = RunConfig(ModelConfig(vocab_size=61, context_length=16, n_layer=1, n_head=2, d_model=8))
    turned = override(plain, {"model.turned_gradients": "true"})
    params, tokens = init_state(plain).params, jnp.asarray(RANDOM.integers(0, 61, (2, 17)), jnp.int32)
    gradient = lambda c: jax.grad(partial(language_model_loss, dataclasses.replace(c.model, loss_chunk=5)))  # noqa: E731
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        gradient(plain)(params, tokens),
        gradient(turned)(params, tokens),
    )
    assert digest(plain) == digest(RunConfig(plain.model)) != digest(turned)


def test_cudas_row_by_row_stream_is_the_same_stream(monkeypatch):
    """Values and cotangents pass; the program says the layout of both."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), jnp.float32)
    run = jax.jit(lambda x: jax.value_and_grad(lambda x: (products.stream(x) ** 2).sum())(x))
    expected = run(x)
    monkeypatch.setattr(products, "on_cuda", lambda: True)
    row_by_row = jax.jit(lambda x: jax.value_and_grad(lambda x: (products.stream(x) ** 2).sum())(x))
    jax.tree.map(np.testing.assert_array_equal, row_by_row(x), expected)
    assert row_by_row.lower(x).as_text().count("@LayoutConstraint") == 2


def test_a_mesh_keeps_the_layout_that_the_partitioner_likes(monkeypatch):
    """On a mesh, the partitioner would gather the whole stream for a layout: 10 gathers where data alone is split."""
    monkeypatch.setattr(products, "on_cuda", lambda: True)
    monkeypatch.setattr(products, "mesh_in_use", lambda: object())
    assert "LayoutConstraint" not in jax.jit(products.stream).lower(jnp.zeros((2, 3, 4))).as_text()
