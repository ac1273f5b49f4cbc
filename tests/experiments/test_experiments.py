"""Every experiment is found, is valid at every scale, and states what it expects."""

import json
import subprocess
import sys

import pytest

from experiments import experiment as experiments
from experiments.cli import main
from experiments.experiment import Comparison, FinishedRun, RunIdentity
from gpt_jax.config import differences
from gpt_jax.errors import InputError
from tests.experiments.made_up import made_up

EXPECTED = {"quickstart", "lineage", "layer_norm", "context_length"}


def test_files_that_define_an_experiment_are_the_experiments():
    assert set(experiments.names()) >= EXPECTED
    assert not {"runner", "sweep", "experiment", "cli"} & set(experiments.names())


@pytest.mark.parametrize("name", experiments.names())
def test_every_run_of_every_scale_has_a_valid_config(name):
    e = experiments.load(name)
    assert {"smoke", "cpu", "paper"} <= set(e.scales)
    for scale in e.scales:
        configs = {arm: e.config(arm, scale, seed=3) for arm in e.select(scale)}
        assert len(set(configs.values())) == len(configs), "two arms are one"
        for config in configs.values():
            assert config.training.seed % 1000 == 3


@pytest.mark.parametrize("name", experiments.names())
def test_every_experiment_says_what_it_claims_and_where_from(name):
    e = experiments.load(name)
    assert 20 < len(e.summary) <= 100
    assert e.summary.endswith(".")
    assert e.source


@pytest.mark.parametrize("name", ["lineage", "layer_norm", "context_length"])
def test_claims_have_stated_directions_enough_seeds_and_a_noise_floor(name):
    e = experiments.load(name)
    assert any(c.primary and c.margin > 0 for c in e.comparisons)
    assert len(e.scale("cpu").seeds) >= 3
    assert e.noise_floor is not None
    again, arm = (e.config(a, "cpu", 0) for a in e.noise_floor)
    assert set(differences(again, arm)) == {"training.seed"}


@pytest.mark.parametrize("name", ["lineage", "layer_norm", "context_length"])
def test_arms_get_the_same_tokens_per_step_in_all_and_the_same_text(name):
    e = experiments.load(name)
    for scale in e.scales:
        configs = [e.config(arm, scale, 0) for arm in e.select(scale) if arm != "gpt2-half"]
        assert len({(c.training.batch_tokens, c.training.train_tokens, c.data) for c in configs}) == 1


def test_layer_norm_crosses_three_rates_with_three_warm_ups_at_five_seeds():
    e = experiments.load("layer_norm")
    cells = {}
    for arm in e.select("cpu"):
        c = e.config(arm, "cpu", 0)
        warm = round(c.optimizer.warmup_tokens / c.training.train_tokens, 3)
        cells.setdefault(c.model.norm, set()).add((c.optimizer.learning_rate, warm))
    assert cells["pre"] == cells["post"]
    assert len(cells["pre"]) == 9
    assert {warm for _, warm in cells["pre"]} == {0, 0.05, 0.2}
    assert len(e.scale("cpu").seeds) >= 5


def test_lineage_is_the_three_papers_architectures():
    e = experiments.load("lineage")
    gpt1, gpt2, gpt3 = (e.config(arm, "cpu", 0).model for arm in ("gpt1", "gpt2", "gpt3"))
    assert (gpt1.norm, gpt1.context_length, gpt1.initialization) == ("post", 512, "gpt1")
    assert (gpt2.norm, gpt2.context_length, gpt2.initialization) == ("pre", 1024, "gpt2")
    assert [type(p).__name__ for p in gpt3.attention] == ["Dense", "Banded"]


def test_arm_values_may_follow_the_scale_and_the_users_changes():
    e = made_up(arms={"new": {"optimizer.warmup_tokens": lambda base: base.training.train_tokens // 10}, "old": {}})
    assert e.config("new", "smoke", 0).optimizer.warmup_tokens == 32
    assert e.config("new", "smoke", 0, {"training.train_tokens": 640}).optimizer.warmup_tokens == 64


def test_what_the_arms_differ_in_cannot_be_changed():
    with pytest.raises(InputError, match=r"model\.norm.*arms of made_up"):
        made_up().config("new", "smoke", 0, {"model.norm": "post"})
    with pytest.raises(InputError, match="--seeds"):
        made_up().config("new", "smoke", 0, {"training.seed": "1"})


def test_a_comparison_of_arms_that_do_not_exist_is_refused():
    with pytest.raises(InputError, match="unknown arm 'newer'"):
        made_up(comparisons=(Comparison("newer", "old", "lower", margin=0.01),))


@pytest.mark.parametrize(
    "comparison",
    [
        Comparison("new", "old", "lower"),
        Comparison("new", "old", "equal", primary=False),
        Comparison("new", "old", "lower", margin=-0.1),
        Comparison("new", "old", "lower", margin=-0.1, primary=False),
        Comparison("new", "old", "lower", margin=float("nan")),
    ],
)
def test_a_comparison_that_carries_a_claim_states_the_smallest_effect_that_counts(comparison):
    with pytest.raises(InputError, match="margin of 'new - old'"):
        made_up(comparisons=(comparison,))


def test_a_known_difference_is_a_comparison_of_the_experiment():
    equal = Comparison("new", "old", "equal", margin=0.1, name="same", sensitivity="fewer")
    with pytest.raises(InputError, match="sensitivity of 'same'"):
        made_up(comparisons=(equal, Comparison("new", "old", "lower", margin=0.1, name="few")))


def test_a_key_that_every_arm_makes_from_the_base_follows_the_users_change():
    e = experiments.load("lineage")
    half, whole = (e.config(a, "cpu", 0, {"training.train_tokens": 409_600}) for a in ("gpt2-half", "gpt2"))
    assert (half.training.train_tokens, whole.training.train_tokens) == (204_800, 409_600)


def test_list_starts_neither_jax_nor_matplotlib_nor_scipy():
    code = (
        "import sys; from experiments.cli import main; status = main([]);"
        "heavy = {'jax', 'flax', 'matplotlib', 'scipy', 'rich', 'orbax'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in EXPECTED)


def test_list_as_json_names_arms_and_seeds(capsys):
    assert main(["list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["lineage"]["arms"][:3] == ["gpt1", "gpt2", "gpt3"]
    assert rows["lineage"]["scales"]["cpu"]["seeds"] == [0, 1, 2]


def test_show_gives_the_claim_the_differences_and_the_compute(capsys):
    assert main(["show", "context_length", "--scale", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "512: model.context_length=512" in out
    assert "same_tokens/loss lower, by at least 0.005" in out
    # 15 runs of 250 batches of 4,096 tokens
    assert f"15 runs, {15 * 250 * 4096:,} tokens" in out


def test_an_arm_says_which_weights_it_starts_from_and_a_user_may_say_otherwise():
    e = experiments.load("transfer")
    weights = lambda arm, scale, **changes: e.config(arm, scale, 0, changes).finetuning.weights  # noqa: E731
    assert weights("all", "cpu") == "runs/books/large/seed-0"
    assert weights("lstm", "cpu") == "runs/books/lstm/seed-0"
    assert weights("lstm", "smoke") is None
    for arm in ("all", "lstm"):
        assert weights(arm, "cpu", **{"finetuning.weights": "elsewhere"}) == "elsewhere"


@pytest.mark.parametrize("arm, measured", [("pre-lr1e-3-warmup0", True), ("pre-lr1e-3-warmup5", False)])
def test_layer_norm_measures_gradients_in_the_arm_of_that_name(monkeypatch, arm, measured):
    from experiments.measurements import initial_gradient

    monkeypatch.setattr(initial_gradient, "gradient_norms", lambda config, corpus: {2: 1.0, 8: 0.5})
    e = experiments.load("layer_norm")
    run = FinishedRun(RunIdentity("layer_norm", arm, 0, "cpu"), e.config(arm, "cpu", 0), None, None)
    assert e.evaluate is not None
    assert e.evaluate(run).get("initial_gradient/slope") == (pytest.approx(-0.5) if measured else None)
