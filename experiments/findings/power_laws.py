"""Power laws: `python -m experiments.findings.power_laws results/scaling/laptop.jsonl` fits those of `scaling`.

Each exponent is fitted for every seed by itself, as the slope of ln loss over ln of what was spent, and the interval is
Student's over the seeds. The form of Kaplan et al. (2020, equation 1.5) is fitted to the seeds' means,

    L(N, D) = ((Nc / N)^(alpha_N / alpha_D) + Dc / D)^alpha_D,

and says which size is best for a budget of C = 6 N D operations, and for which size a number of tokens is the best one.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.command import Command, carry_out
from experiments.experiment import load
from experiments.published.file import read_published
from experiments.runs.results import Result
from experiments.verdicts.statistics import t_interval
from gpt_jax.errors import InputError

PUBLISHED = {"parameters": 0.076, "tokens": 0.095, "compute": 0.048}  # Kaplan et al.; GPT-3, Figure 3.1
LOSS = "scaling/log_loss"
SPENT = {name: f"scaling/log_{name}" for name in ("parameters", "tokens", "flops")}
NEAR = 0.3  # of ln FLOP: cells as near to each other as this took one compute


@dataclass(frozen=True)
class Cell:
    """One run: the logarithms of its parameters, tokens, operations and loss (nats/token)."""

    parameters: float
    tokens: float
    flops: float
    loss: float


def exponents(cells: Sequence[Cell]) -> dict[str, float]:
    """The exponents of one seed's cells: over parameters at the most tokens, over tokens at the largest size, and over
    compute along the frontier, which is the best cell of each compute."""
    most, largest = max(c.tokens for c in cells), max(c.parameters for c in cells)
    return {
        "parameters": _exponent([(c.parameters, c.loss) for c in cells if c.tokens == most]),
        "tokens": _exponent([(c.tokens, c.loss) for c in cells if c.parameters == largest]),
        "compute": _exponent([(c.flops, c.loss) for c in frontier(cells)]),
    }


def frontier(cells: Sequence[Cell]) -> list[Cell]:
    """The best cell of each compute; cells within `NEAR` of the one before them, in ln FLOP, took one compute."""
    groups: list[list[Cell]] = []
    for cell in sorted(cells, key=lambda c: c.flops):
        if groups and cell.flops - groups[-1][-1].flops < NEAR:
            groups[-1].append(cell)
        else:
            groups.append([cell])
    return [min(group, key=lambda c: c.loss) for group in groups]


def _exponent(points: Sequence[tuple[float, float]]) -> float:
    """Minus the slope of ln loss; NaN for fewer than two points."""
    if len({x for x, _ in points}) < 2:
        return math.nan
    return -float(np.polyfit([x for x, _ in points], [y for _, y in points], 1)[0])


@dataclass(frozen=True)
class Surface:
    """Kaplan's L(N, D), by the logarithms of its constants. `error` is the root mean square of ln L's residuals."""

    alpha_n: float
    alpha_d: float
    log_nc: float
    log_dc: float
    error: float

    def log_loss(self, log_n: float | np.ndarray, log_d: float | np.ndarray) -> float | np.ndarray:
        ratio = self.alpha_n / self.alpha_d
        return self.alpha_d * np.logaddexp(ratio * (self.log_nc - log_n), self.log_dc - log_d)

    def best_size(self, log_flops: float) -> float:
        """ln N of the lowest loss where 6 N D operations are spent."""
        sizes = np.linspace(math.log(1e2), math.log(1e12), 4000)
        return float(sizes[np.argmin(self.log_loss(sizes, log_flops - math.log(6) - sizes))])

    def size_for(self, log_tokens: float) -> float:
        """ln N for which this is the best number of tokens: there r (Nc / N)^r = Dc / D, with r = alpha_N / alpha_D."""
        ratio = self.alpha_n / self.alpha_d
        return self.log_nc - (self.log_dc - log_tokens - math.log(ratio)) / ratio


def fitted(cells: Sequence[Cell]) -> Surface:
    """The surface of least squares in ln L, from several starts. The exponents are kept between 0.001 and 2."""
    from scipy.optimize import least_squares

    n, d, loss = (np.array([getattr(c, name) for c in cells]) for name in ("parameters", "tokens", "loss"))

    def residuals(p: np.ndarray) -> np.ndarray:
        return np.asarray(Surface(p[0], p[1], p[2], p[3], 0.0).log_loss(n, d)) - loss

    starts = [(a, b, x, y) for a in (0.1, 0.4) for b in (0.1, 0.4) for x in (8.0, 16.0) for y in (8.0, 16.0)]
    bounds = ([1e-3, 1e-3, -50, -50], [2, 2, 100, 100])
    best = min((least_squares(residuals, start, bounds=bounds) for start in starts), key=lambda found: found.cost)
    alpha_n, alpha_d, log_nc, log_dc = map(float, best.x)
    return Surface(alpha_n, alpha_d, log_nc, log_dc, float(np.sqrt(np.mean(best.fun**2))))


def cells_of(results: Sequence[Result], arms: Sequence[str]) -> dict[int, list[Cell]]:
    """The cells of each seed that has all `arms`. Raises `InputError` where none has."""
    seeds: dict[int, list[Cell]] = {}
    for result in results:
        cell = Cell(*(result.value(metric) for metric in (*SPENT.values(), LOSS)))
        if result.arm in arms and all(map(math.isfinite, vars(cell).values())):
            seeds.setdefault(result.seed, []).append(cell)
    whole = {seed: cells for seed, cells in seeds.items() if len(cells) == len(arms)}
    if not whole:
        raise InputError(f"scaling: no seed has all of its {len(arms)} cells: one that has is needed")
    return whole


def means(seeds: Mapping[int, Sequence[Cell]]) -> list[Cell]:
    """The cells with the mean of ln L over the seeds."""
    by_place: dict[tuple[float, float, float], list[float]] = {}
    for cells in seeds.values():
        for c in cells:
            by_place.setdefault((c.parameters, c.tokens, c.flops), []).append(c.loss)
    return [Cell(*place, loss=float(np.mean(losses))) for place, losses in by_place.items()]


def lines(seeds: Mapping[int, Sequence[Cell]], tokens: float, flops: float) -> list[str]:
    """What is printed: each exponent with its interval beside the published one, the surface and the best sizes."""
    found = [exponents(cells) for cells in seeds.values()]
    said = []
    for name, published in PUBLISHED.items():
        values = [one[name] for one in found]
        interval = t_interval(values) if len(values) > 1 else (values[0], math.nan, math.nan)
        mean, low, high = interval
        said.append(f"loss ~ {name}^-alpha: alpha {mean:.4f} [{low:.4f}, {high:.4f}], published {published}")
    surface = fitted(means(seeds))
    said.append(
        f"L(N, D): alpha_N {surface.alpha_n:.3f}, alpha_D {surface.alpha_d:.3f}, Nc {math.exp(surface.log_nc):.3g}, "
        f"Dc {math.exp(surface.log_dc):.3g}; off by {surface.error:.3f} in ln L (root mean square)"
    )
    size = math.exp(surface.size_for(math.log(tokens)))
    said.append(f"{tokens:.3g} tokens are the best number for {size:.3g} parameters without embeddings")
    size = math.exp(surface.best_size(math.log(flops)))
    said.append(f"{flops:.3g} FLOP are spent best on {size:.3g} parameters and {flops / 6 / size:.3g} tokens")
    return said


def findings(results: Sequence[Result], tokens: float = 30e6, flops: float = 3e14) -> list[str]:
    """`lines` of the results of `scaling`. Raises `InputError` where no seed has all cells."""
    e = load("scaling")
    cells = tuple(arm for arm in e.arms if arm not in (e.noise_floor or ())[:1])
    return lines(cells_of(results, cells), tokens, flops)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="published runs of `scaling`")
    parser.add_argument("--tokens", type=float, default=30e6, help="for which size are so many tokens best? (30e6)")
    parser.add_argument("--flops", type=float, default=3e14, help="which size is best for so many FLOP? (3e14)")


def act(arguments: argparse.Namespace) -> int:
    if not arguments.file.is_file():
        raise InputError(f"{arguments.file}: does not exist: published runs of `scaling` are allowed")
    for line in findings(read_published(arguments.file, load("scaling")), arguments.tokens, arguments.flops):
        print(line)
    return 0


COMMAND = Command(
    group="look",
    help="fit the power laws of published runs of `scaling`",
    example="python -m experiments.findings.power_laws results/scaling/laptop.jsonl --tokens 30e6",
    arguments=add_arguments,
    act=act,
)

if __name__ == "__main__":
    sys.exit(carry_out(COMMAND, sys.argv[1:], "python -m experiments.findings.power_laws"))
