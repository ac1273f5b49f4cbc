"""The experiment `initialisation`: arms differ in one factor, and its measurement is made once a factor and seed."""

import pytest

from experiments.experiment import FinishedRun, RunIdentity, load
from gpt_jax.config import differences


def test_each_arm_with_the_factor_has_one_without_it_that_differs_in_nothing_else():
    e = load("initialisation")
    for scale in ("laptop", "cpu"):
        for arm in e.select(scale):
            ours, theirs = e.config(arm, scale, 0), e.config(arm.replace("unscaled", "scaled"), scale, 0)
            assert set(differences(ours, theirs)) <= {"model.initialization"}
    assert [c.title for c in e.comparisons if c.primary] == [
        "residual stream at init, slope with depth",
        "12 layers, best rate",
        "2 layers, best rate",
    ]


@pytest.mark.parametrize("arm, measured", [("unscaled-L2-lr2e-3", True), ("unscaled-L12-lr2e-3", False)])
def test_the_residual_stream_is_measured_in_the_probes_arms(monkeypatch, arm, measured):
    from experiments.measurements import residual

    monkeypatch.setattr(residual, "branch_norms", lambda config, corpus: {2: 1.0, 8: 2.0})
    e = load("initialisation")
    assert e.evaluate is not None
    found = e.evaluate(FinishedRun(RunIdentity(e.name, arm, 0, "laptop"), e.config(arm, "laptop", 0), None, None))
    assert found.get("residual/slope") == (pytest.approx(0.5) if measured else None)
