"""The picture of the attention masks: which pairs each pattern allows, as small multiples."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap

from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Strided

SUBTITLES = {
    Dense: "GPT-1, GPT-2: all before",
    Banded: "GPT-3: the newest w",
    Strided: "the note: d ≤ k, and k, 2k, 3k …",
    Fixed: "own block, and block summaries",
    LogSparse: "d < w, and 1, 2, 4, 8 …",
}
PAPER, FORBIDDEN, ALLOWED = "#ffffff", "#eef1f5", "#1f5fa8"  # the future, masked pairs, allowed pairs


def draw_patterns(path: str | Path, length: int = 32) -> Path:
    """Writes a PNG with the mask of each pattern over `length` tokens, queries downwards and keys across.

    Strides and windows are about sqrt(length). Returns the path.
    """
    k = max(2, round(length**0.5))
    patterns = (Dense(), Banded(k), Strided(k), Fixed(block=k, summary=max(1, k // 4)), LogSparse(max(1, k // 2)))
    figure, axes = plt.subplots(1, len(patterns), figsize=(12.5, 3.3), layout="constrained")
    for axis, pattern in zip(axes, patterns, strict=True):
        allowed = pattern.mask(length)
        shades = allowed.astype(int) + Dense().mask(length)
        axis.pcolormesh(
            shades, cmap=ListedColormap([PAPER, FORBIDDEN, ALLOWED]), vmin=0, vmax=2, edgecolors="white", linewidth=0.4
        )
        axis.set_aspect("equal")
        axis.invert_yaxis()
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_title(f"{pattern!r}\n", fontsize=9.5, family="monospace", loc="left", pad=3)
        axis.text(0, 1.02, SUBTITLES[type(pattern)], transform=axis.transAxes, fontsize=9, color="#555555")
        axis.set_xlabel(f"{allowed.sum()} of {length**2} pairs", fontsize=9, color="#555555")
    axes[0].set_ylabel(f"query, 0 … {length - 1}", fontsize=9, color="#555555")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return Path(path)
