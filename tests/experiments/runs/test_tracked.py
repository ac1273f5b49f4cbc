"""A run that is watched ends as one that is not, and what is missing for watching is said first."""

import pytest

from experiments.runs.kinds import Interrupted
from gpt_jax.config import override
from gpt_jax.errors import InputError
from gpt_jax.training import trackers
from gpt_jax.training.trackers import check_installed
from tests.experiments.runs.real import lines_without_clocks, run, stop_at
from tests.training.test_trackers import WATCHED, Recorder, fill_a_disk
from tests.training.tiny import TINY


@pytest.mark.parametrize("field", ["tensorboard", "wandb"])
def test_a_missing_package_is_named_before_the_first_step(tmp_path, text, monkeypatch, field):
    monkeypatch.setattr(trackers, "find_spec", lambda module: None)
    config = override(TINY, {f"training.{field}": True})
    with pytest.raises(InputError, match=rf"training\.{field}: .* pip install 'gpt-jax\[{field}\]'"):
        run(tmp_path / "run", text, config)
    assert not (tmp_path / "run").exists()
    check_installed(TINY.training)


def test_a_run_whose_trackers_fail_ends_as_one_without(finished, text, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setattr(trackers, "TensorBoard", lambda folder, step: Recorder(step3=fill_a_disk))
    monkeypatch.setattr(trackers, "WeightsAndBiases", lambda folder, config: Recorder(close=fill_a_disk))
    result = run(tmp_path, text, override(WATCHED, {"training.wandb": True}))
    assert lines_without_clocks(tmp_path) == lines_without_clocks(finished[0])
    ours, theirs = (
        {key: value for key, value in r["metrics"].items() if not key.startswith("time/")}
        for r in (result, finished[1])
    )
    assert ours == theirs


def test_a_begun_run_goes_on_with_a_tracker_and_is_finished_without(finished, text, tmp_path):
    pytest.importorskip("tensorboardX")
    with pytest.raises(Interrupted):
        run(tmp_path, text, should_stop=stop_at(tmp_path, 4))
    run(tmp_path, text, WATCHED)
    assert list((tmp_path / "tensorboard").iterdir())
    assert lines_without_clocks(tmp_path) == lines_without_clocks(finished[0])
    assert run(tmp_path, text)["metrics"] == run(tmp_path, text, WATCHED)["metrics"]
