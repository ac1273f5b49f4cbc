"""What a classifier gets wrong, as PNG. Matplotlib is imported on use, and drawn without a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


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
