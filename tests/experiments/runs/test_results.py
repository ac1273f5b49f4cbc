"""Runs of one report are alike, but for what their arms and their seeds make of them."""

import pytest

from experiments.runs.results import read_results
from gpt_jax.errors import InputError
from tests.experiments.made_up import losses, made_up, write_run


def by_seed(width):
    """Two arms, one of which has a width that its seed decides."""
    return made_up(arms={"new": {"model.d_ff": lambda base: width(base.training.seed)}, "old": {"model.d_ff": 16}})


def test_a_value_that_an_arm_makes_of_its_seed_may_differ_from_seed_to_seed(tmp_path):
    found = losses(tmp_path, by_seed(lambda seed: 8 + seed), [2.0, 3.0], [2.1, 3.1])
    assert [(r.arm, r.seed, r.settings()["model.d_ff"]) for r in found] == [
        ("new", 0, 8),
        ("new", 1, 9),
        ("old", 0, 16),
        ("old", 1, 16),
    ]


def test_any_other_difference_within_an_arm_is_refused(tmp_path):
    """As where one of the runs was made of another start than its arm names for its seed."""
    e = by_seed(lambda seed: 8 + seed)
    losses(tmp_path, e, [2.0, 3.0], [2.1, 3.1])
    write_run(tmp_path, by_seed(lambda seed: 12), "new", 1, scale="cpu")
    with pytest.raises(InputError, match=r"model.d_ff is 8 in .*seed-0 and 12 in .*seed-1: one report, one value"):
        read_results(tmp_path / e.name, e)
