"""Exponents and best sizes against those of losses that were made from a law."""

import math

import pytest

from experiments.claims.scaling import CELLS, diagonal
from experiments.experiment import load
from experiments.findings.power_laws import Cell, Surface, cells_of, exponents, fitted, frontier, lines
from gpt_jax.errors import InputError
from gpt_jax.model.costs import train_flops_per_token

LAW = Surface(alpha_n=0.2, alpha_d=0.3, log_nc=10.0, log_dc=12.0, error=0.0)


def cell(n: float, d: float, loss: float | None = None) -> Cell:
    log_n, log_d = math.log(n), math.log(d)
    return Cell(log_n, log_d, math.log(6) + log_n + log_d, float(LAW.log_loss(log_n, log_d)) if loss is None else loss)


GRID = [cell(1e3 * 4**i, 1e5 * 4**j) for i in range(4) for j in range(3)]


def test_the_surface_that_made_the_losses_is_found_again():
    found = fitted(GRID)
    assert (found.alpha_n, found.alpha_d) == pytest.approx((0.2, 0.3), abs=0.01)
    assert found.error < 1e-4


def test_a_best_size_is_lower_than_its_neighbours_of_the_same_compute():
    flops = math.log(1e12)
    best = LAW.best_size(flops)
    loss = [LAW.log_loss(n, flops - math.log(6) - n) for n in (best - 0.5, best, best + 0.5)]
    assert loss[1] < min(loss[0], loss[2])
    assert LAW.size_for(flops - math.log(6) - best) == pytest.approx(best, abs=0.01)


def test_exponents_are_slopes_along_parameters_tokens_and_the_frontier():
    def power(c: Cell) -> Cell:
        return Cell(c.parameters, c.tokens, c.flops, -0.07 * c.parameters - 0.1 * c.tokens)

    cells = [power(c) for c in GRID]
    found = exponents(cells)
    assert found["parameters"] == pytest.approx(0.07) and found["tokens"] == pytest.approx(0.1)
    assert len(frontier(cells)) == 6  # the diagonals of a grid of 4 by 3


def test_cells_of_a_diagonal_take_one_compute_and_the_sweep_has_three_decades():
    e = load("scaling")

    def flops(arm: str) -> float:
        config = e.config(arm, "laptop", 0)
        return train_flops_per_token(config.model) * config.training.train_tokens

    seen = []
    for number in range(6):
        spent = [flops(arm) for arm in diagonal(number)]
        assert max(spent) / min(spent) < 1.25
        seen += diagonal(number)
    assert sorted(seen) == sorted(CELLS)
    assert flops(diagonal(5)[0]) / flops(diagonal(0)[0]) > 10**2.5


def test_a_seed_that_lacks_a_cell_is_left_out_and_what_is_found_is_said():
    with pytest.raises(InputError, match="no seed has all of its 12 cells"):
        cells_of([], tuple(CELLS))
    said = "\n".join(lines({0: GRID, 1: GRID}, 30e6, 3e14))
    assert "published 0.076" in said and "alpha_N 0.2" in said and "3e+07 tokens are the best number" in said
