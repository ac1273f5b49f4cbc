"""The pictures of one run, as PNG, and what all pictures share. Matplotlib is imported on use, without a display."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runs.results import LOSS
from gpt_jax.disk import read_jsonl

WIDTH, HEIGHT = 7.0, 4.2  # inches


def loss_curve(metrics_path: Path, png_path: Path) -> Path:
    """Training and validation loss (nats/token) over the tokens seen, from one run's `metrics.jsonl`."""
    lines = [line for _, line in read_jsonl(metrics_path)]
    figure, axes = new_figure("tokens seen", "loss (nats/token)")
    tokens, loss = series(lines, "train/loss")
    axes.plot(tokens, loss, color="C0", alpha=0.35, linewidth=0.8, label="train")
    if len(loss) > 20:
        axes.plot(tokens, smoothed(loss, len(loss) // 20), color="C0", label="train, smoothed")
    axes.plot(*series(lines, LOSS), "o-", color="C1", markersize=4, label="validation")
    axes.legend()
    return save(figure, png_path)


def confusion_matrix(labels_N: np.ndarray, predicted_N: np.ndarray, count: int) -> np.ndarray:
    """How many examples of each label (row) were given each label (column): int64 `(count, count)`."""
    return np.bincount(labels_N * count + predicted_N, minlength=count * count).reshape(count, count)


def confusion(labels_N: np.ndarray, predicted_N: np.ndarray, names: Sequence[str], path: Path) -> Path:
    """The confusion matrix: counts, shaded by their share of the row."""
    from matplotlib.figure import Figure

    counts = confusion_matrix(labels_N, predicted_N, len(names))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.6 * len(names)
    figure = Figure(figsize=(side + 0.8, side), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=color, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    accuracy = np.trace(counts) / max(counts.sum(), 1)
    axes.set(xlabel="predicted", ylabel="label", title=f"{accuracy:.1%} of {counts.sum():,} right")
    figure.savefig(path)
    return path


def scatter(labels_N: np.ndarray, predicted_N: np.ndarray, path: Path) -> Path:
    """Predicted over given values."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(labels_N, predicted_N, "o", markersize=2.5, alpha=0.4)
    ends = [float(np.min(labels_N)), float(np.max(labels_N))]
    axes.plot(ends, ends, color="0.6", linewidth=0.8)
    correlation = np.corrcoef(labels_N, predicted_N)[0, 1] if np.std(predicted_N) > 0 else float("nan")
    axes.set(xlabel="label", ylabel="predicted", title=f"Pearson {correlation:.3f}, n = {len(labels_N):,}")
    axes.grid(alpha=0.2)
    figure.savefig(path)
    return path


def series(lines: Sequence[Mapping[str, Any]], metric: str) -> tuple[list[float], list[float]]:
    """Tokens and values of the lines that have `metric`; values that are not finite are left out."""
    pairs = [(line["tokens"], line[metric]) for line in lines if line.get(metric) is not None and "tokens" in line]
    pairs = [(tokens, value) for tokens, value in pairs if math.isfinite(value)]
    return [tokens for tokens, _ in pairs], [value for _, value in pairs]


def smoothed(values: Sequence[float], window: int) -> np.ndarray:
    """The mean of the last `window` values at each point; fewer at the start."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)


def empty(height: float = HEIGHT) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=150, layout="constrained")


def new_figure(x: str, y: str) -> tuple[Any, Any]:
    figure = empty()
    axes = figure.add_subplot()
    style(axes, x, y)
    return figure, axes


def style(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
