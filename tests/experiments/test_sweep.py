"""Sweeps build arms, and refuse what would silently be something else."""

import pytest

from experiments.sweep import axis, chain, product, zipped
from gpt_jax.errors import InputError

NORM = axis("model.norm", {"pre": "pre", "post": "post"})
DEPTH = axis("model.n_layer", {"L2": 2, "L6": 6})


def test_product_is_every_combination_with_joined_names():
    arms = product(NORM, DEPTH)
    assert list(arms) == ["pre-L2", "pre-L6", "post-L2", "post-L6"]
    assert arms["post-L6"] == {"model.norm": "post", "model.n_layer": 6}


def test_zipped_pairs_by_position():
    assert zipped(NORM, DEPTH) == {
        "pre-L2": {"model.norm": "pre", "model.n_layer": 2},
        "post-L6": {"model.norm": "post", "model.n_layer": 6},
    }


def test_chain_is_all_arms():
    assert list(chain(NORM, DEPTH)) == ["pre", "post", "L2", "L6"]


def test_a_key_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"did you mean 'model\.n_layer'"):
        axis("model.n_layers", {"L2": 2})


@pytest.mark.parametrize(
    "build",
    [
        lambda: product(NORM, NORM),
        lambda: chain(NORM, NORM),
        lambda: zipped(NORM, axis("model.n_layer", {"L2": 2})),
        lambda: product({"a-b": {}, "a": {}}, {"c": {}, "b-c": {}}),
    ],
    ids=["key set twice", "name twice", "lengths differ", "joined names collide"],
)
def test_clashes_are_refused(build):
    with pytest.raises(InputError):
        build()
