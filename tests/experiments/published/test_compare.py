"""A second run against the first: equal bits where both were made alike, a tolerance elsewhere, and what differs."""

from dataclasses import replace

import pytest

from experiments.published.compare import TOLERANCE, compare
from experiments.published.line import Published

ENVIRONMENT = {"python": "3.11.7", "processor": "A", "devices": ["cpu: cpu"], "packages": {"jax": "0.10", "numpy": "2"}}


def run(**changes) -> Published:
    values = {
        "claim": "made_up",
        "scale": "cpu",
        "arm": "new",
        "seed": 0,
        "outcome": "finished",
        "metrics": {"validation/loss": 3.0, "time/seconds": 1.0, "slopes": [1.0, 2.0]},
        "curves": {"train/loss": {"step": [1, 2, 5], "tokens": [32, 64, 160], "value": [5.0, 4.0, 3.0]}},
        "config": {},
        "config_digest": "c",
        "data_digest": "d",
        "source_digest": None,
        "weights_digest": None,
        "log_digest": "l",
        "parameters_digest": "p",
        "commit": "a",
        "environment": ENVIRONMENT,
        "how": [{"way": "serial", "cores": 1}],
        "tokens": 160,
        "flops": 1.0,
        "seconds": 1.0,
        "sample": "",
    }
    return Published(**{**values, **changes})


def losses(*values: float, steps=(1, 2, 5)) -> dict:
    tokens = [32 * step for step in steps]
    return {"train/loss": {"step": list(steps), "tokens": tokens, "value": list(values)}}


def test_a_second_run_with_the_same_figures_is_equal_whatever_its_clocks():
    again = run(metrics={"validation/loss": 3.0, "time/seconds": 9.0, "slopes": [1.0, 2.0]}, commit="b")
    compared = compare(run(), again)
    assert compared.equal and compared.holds and compared.figures == 5
    assert str(compared) == "equal, bit for bit: 5 figures"


def test_the_first_step_that_differs_is_named_and_one_bit_is_enough():
    compared = compare(run(), run(curves=losses(5.0, 4.0 + 2**-50, 2.0), log_digest="m"))
    assert compared.first == f"step 2: train/loss is {4.0 + 2**-50!r}, was 4.0"
    assert compared.digests == ("log_digest",)
    assert not compared.equal and not compared.holds  # made alike: a tolerance is not asked for
    assert "both were made alike" in str(compared)


def test_steps_between_the_points_of_a_thinned_curve_are_passed_over():
    whole = losses(5.0, 4.0, 3.9, 3.5, 3.0, steps=(1, 2, 3, 4, 5))
    assert compare(run(), run(curves=whole)).equal


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"environment": {**ENVIRONMENT, "python": "3.12.1"}}, "python is '3.12.1', was '3.11.7'"),
        ({"environment": {**ENVIRONMENT, "packages": {"jax": "0.11", "numpy": "2"}}}, "packages.jax is '0.11'"),
        ({"environment": {**ENVIRONMENT, "processor": "B"}}, "processor is 'B', was 'A'"),
        ({"how": [{"way": "serial", "cores": 2}]}, "cores is 2, was 1"),
        ({"environment": {**ENVIRONMENT, "devices": ["gpu: H"]}}, "devices is ['gpu: H'], was ['cpu: cpu']"),
    ],
)
def test_a_run_that_was_made_otherwise_is_held_to_the_tolerance(changes, said):
    close = losses(5.0, 4.0, 3.0 * (1 + 0.9 * TOLERANCE))
    compared = compare(run(), run(curves=close, **changes))
    assert compared.holds and not compared.equal and said in str(compared)
    far = losses(5.0, 4.0, 3.0 * (1 + 1.1 * TOLERANCE))
    assert not compare(run(), run(curves=far, **changes)).holds


def test_a_figure_that_is_gone_is_beyond_every_tolerance():
    other = {"how": [{"way": "serial", "cores": 2}]}
    assert not compare(run(), run(metrics={"validation/loss": 3.0}, **other)).holds
    assert not compare(run(), run(curves=losses(5.0, 4.0, steps=(1, 2)), **other)).holds


def test_what_the_first_run_did_not_keep_is_said():
    bare = {key: value for key, value in ENVIRONMENT.items() if key != "processor"}
    compared = compare(
        run(environment=bare, how=[{"way": "serial", "cores": None}]), run(curves=losses(5.0, 4.0, 3.001))
    )
    assert compared.unknown == ("cores", "processor") and not compared.differs and compared.holds


def test_the_first_steps_can_be_compared_alone():
    early = replace(run(curves=losses(5.0, 4.0, steps=(1, 2))), metrics={}, log_digest="other")
    compared = compare(run(), early, steps=2)
    assert compared.equal and compared.figures == 2
    assert not compare(run(), early, steps=5).equal
