"""The best cell of a sweep: which one it is, on which seeds it is scored, and whether it lies at the grid's edge."""

import dataclasses

from experiments.experiment import Comparison, Scale
from experiments.runs.results import read_results
from experiments.verdicts.grid import edges
from experiments.verdicts.judge import best_arm, judge_all
from tests.experiments.made_up import made_up, write_run


def test_the_best_of_a_sweep_fails_least_then_has_the_lowest_loss(tmp_path):
    arms = {"a": {"model.n_layer": 1}, "b": {"model.n_layer": 2}, "c": {"model.n_layer": 3}}
    e = made_up(arms=arms, comparisons=())
    for seed in (0, 1):
        write_run(tmp_path, e, "a", seed, 2.5)
        write_run(tmp_path, e, "b", seed, 2.2)
        write_run(tmp_path, e, "c", seed, 1.0, metrics={"diverged": float(seed)})
    results = read_results(tmp_path / e.name, e)
    lowest = Comparison(("a", "b"), "c", "lower", "validation/loss", 0.1)
    assert best_arm(results, ("a", "b", "c"), lowest) == "b"
    assert best_arm(results, ("a", "c"), lowest) == "a"
    assert best_arm(results, ("a", "b"), dataclasses.replace(lowest, best="highest")) == "a"


def test_the_best_of_a_sweep_is_scored_on_seeds_that_did_not_choose_it(tmp_path):
    """Cells that differ by luck alone: on the seeds that choose, the best is ahead; on others it must not be."""
    arms = {"a": {"optimizer.learning_rate": 1e-3}, "b": {"optimizer.learning_rate": 2e-3}, "old": {}}
    sweep = Comparison(("a", "b"), "old", "lower", "validation/loss", 0.1)
    e = made_up(arms=arms, comparisons=(sweep,), scales={"cpu": Scale({}, seeds=(0, 1))})
    for seed, (a, b) in enumerate([(2.0, 3.0), (3.0, 2.5)]):  # each is ahead on one seed
        for arm, loss in {"a": a, "b": b, "old": 2.5}.items():
            write_run(tmp_path, e, arm, seed, loss, "cpu")
    (judged,) = judge_all(read_results(tmp_path / e.name, e), e)
    assert judged.differences == {0: 0.5, 1: 0.5}  # seed 1 chooses b for seed 0, and seed 0 chooses a for seed 1
    assert "the best cell changes with the seeds that choose it: b for 1, a for 1" in judged.notes


def test_a_best_cell_at_the_edge_of_its_grid_is_said_to_be(tmp_path):
    rates = {"a": 0.1, "b": 0.2, "c": 0.3}
    arms = {name: {"optimizer.learning_rate": rate} for name, rate in rates.items()}
    for best, edge in (("a", "0.1 is the lowest of 0.1, 0.2, 0.3"), ("b", ""), ("c", "0.3 is the highest of 0.1, 0.2")):
        e = made_up(arms={**arms, "old": {}}, comparisons=(Comparison(("a", "b", "c"), "old", "lower", margin=0.1),))
        for seed in range(3):
            for arm in e.arms:
                write_run(tmp_path / best, e, arm, seed, 2.0 if arm == best else 3.0, "cpu")
        (judged,) = judge_all(read_results(tmp_path / best / e.name, e), e)
        assert any("lies at the edge of its grid" in note for note in judged.notes) is bool(edge)
        assert not edge or any(f"optimizer.learning_rate {edge}" in note for note in judged.notes)


def test_no_cell_lies_below_none(tmp_path):
    arms = {"cold": {"optimizer.warmup_tokens": 0}, "warm": {"optimizer.warmup_tokens": 32}}
    e = made_up(arms=arms, comparisons=())
    for arm in arms:
        write_run(tmp_path, e, arm, 0)
    results = read_results(tmp_path / e.name, e)
    assert edges(results, ("cold", "warm"), "cold") == []
    assert edges(results, ("cold", "warm"), "warm") == ["optimizer.warmup_tokens 32 is the highest of 0, 32"]
