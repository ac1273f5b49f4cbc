"""PNG pictures of runs. Matplotlib is imported on use, and drawn without a display or global state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runs.results import LOSS, Result, metric_lines
from experiments.verdicts.judge import Judged

WIDTH, HEIGHT = 7.0, 4.2  # inches


def loss_curve(metrics_path: Path, png_path: Path) -> Path:
    """Training and validation loss (nats/token) over the tokens seen, from one run's `metrics.jsonl`."""
    lines = metric_lines(metrics_path)
    figure, axes = _figure("tokens seen", "loss (nats/token)")
    tokens, loss = series(lines, "train/loss")
    axes.plot(tokens, loss, color="C0", alpha=0.35, linewidth=0.8, label="train")
    if len(loss) > 20:
        axes.plot(tokens, smoothed(loss, len(loss) // 20), color="C0", label="train, smoothed")
    axes.plot(*series(lines, LOSS), "o-", color="C1", markersize=4, label="validation")
    axes.legend()
    return _save(figure, png_path)


def loss_by_arm(results: Sequence[Result], png_path: Path, metric: str = LOSS) -> Path:
    """`metric` over tokens: one thin line per run, one thick line for each arm's mean; failures dotted."""
    figure, axes = _figure("tokens seen", metric)
    for color, (arm, runs) in _colors(_grouped(results)):
        curves = [(run, *series(metric_lines(run.folder / "metrics.jsonl"), metric)) for run in runs]
        for run, tokens, values in curves:
            axes.plot(tokens, values, color=color, linewidth=0.7, alpha=0.5, linestyle=":" if run.failure else "-")
        good = [(tokens, values) for run, tokens, values in curves if not run.failure and len(tokens)]
        if not good:
            axes.plot([], [], color=color, linestyle=":", label=f"{arm} (all failed)")
            continue
        shared = [tokens for tokens in good[0][0] if all(tokens in other for other, _ in good)]
        mean = [np.mean([values[list(t).index(tokens)] for t, values in good]) for tokens in shared]
        axes.plot(shared, mean, color=color, linewidth=2, label=f"{arm} (n = {len(good)})")
    _legend(axes)
    return _save(figure, png_path)


def differences(judged: Sequence[Judged], png_path: Path) -> Path:
    """Each comparison as a row: a dot per seed, and the mean with its 95 % interval. One panel per metric."""
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        if one.differences:
            groups.setdefault(one.comparison.metric, []).append(one)
    figure = _empty(height=sum(0.8 + 0.35 * len(group) for group in groups.values()))
    panels = figure.subplots(len(groups), squeeze=False, height_ratios=[1 + len(group) for group in groups.values()])
    for axes, (metric, group) in zip(panels[:, 0], groups.items(), strict=True):
        _style(axes, f"{metric}: treatment less control", "")
        for row, one in enumerate(reversed(group)):
            values = list(one.differences.values())
            axes.plot(values, [row] * len(values), "o", color="C0", alpha=0.4, markersize=4)
            if one.interval is not None:
                estimate, low, high = one.interval
                error = [[estimate - low], [high - estimate]]
                axes.errorbar([estimate], [row], xerr=error, fmt="D", color="C1", capsize=4)
        axes.axvline(0, color="0.6", linewidth=0.8)
        axes.set_ylim(-0.6, len(group) - 0.4)
        axes.set_yticks(range(len(group)), [one.comparison.title for one in reversed(group)], fontsize=7)
    return _save(figure, png_path)


def profile(results: Sequence[Result], metric: str, axis: str, png_path: Path) -> Path:
    """A metric that is a list, over its index: the mean of each arm, its runs as thin lines. Positive values that span
    more than two decades are on a logarithmic axis."""
    figure, axes = _figure(axis, metric)
    drawn: list[float] = []
    for color, (arm, runs) in _colors(_grouped([r for r in results if not r.failure])):
        curves = [np.asarray(r.metrics[metric], np.float64) for r in runs if isinstance(r.metrics.get(metric), list)]
        for curve in curves:
            axes.plot(curve, color=color, linewidth=0.7, alpha=0.4)
            drawn += curve.tolist()
        if curves and len({len(curve) for curve in curves}) == 1:
            axes.plot(np.mean(curves, axis=0), color=color, linewidth=2, label=f"{arm} (n = {len(curves)})")
    if drawn and min(drawn) > 0 and max(drawn) > 100 * min(drawn):
        axes.set_yscale("log")
    _legend(axes)
    return _save(figure, png_path)


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


def _empty(height: float = HEIGHT) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=150, layout="constrained")


def _figure(x: str, y: str) -> tuple[Any, Any]:
    figure = _empty()
    axes = figure.add_subplot()
    _style(axes, x, y)
    return figure, axes


def _style(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _grouped(results: Sequence[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.arm, []).append(result)
    return groups


def _colors(groups: Mapping[str, Any]) -> list[tuple[Any, tuple[str, Any]]]:
    """A colour per group: matplotlib's ten, or as many as there are along a map."""
    import matplotlib

    if len(groups) <= 10:
        return [(f"C{i}", group) for i, group in enumerate(groups.items())]
    colors = matplotlib.colormaps["turbo"](np.linspace(0.05, 0.95, len(groups)))
    return list(zip(colors, groups.items(), strict=True))


def _legend(axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, ncols=2 if len(axes.get_legend_handles_labels()[0]) > 8 else 1)


def zero_shot_curves(results: list[dict[str, Any]], path: Path) -> Path:
    """Each task's first metric against the tokens of pre-training, as in GPT-1's figure 2: 0 is chance, 1 is 100 %.

    A task without a chance level is drawn as a percentage over 100. `results` are rows of `evaluate --checkpoints`.
    """
    figure, axes = _figure("tokens of pre-training", "score: 0 is chance, 1 is 100 %")
    firsts = {(row["task"], row["shots"]): row["metric"] for row in reversed(results)}
    for (task, shots), metric in reversed(firsts.items()):
        own = [r for r in results if (r["task"], r["shots"], r["metric"]) == (task, shots, metric)]
        own = [r for r in own if r["unit"] == "%" and r["tokens"] is not None and r["score"] is not None]
        heights = [r.get("normalised", r["score"] / 100) for r in own]
        if own:
            axes.plot([r["tokens"] for r in own], heights, marker="o", label=f"{task}, {shots} shots")
    if axes.lines:
        axes.legend()
    axes.axhline(0, color="grey", linewidth=0.8)
    return _save(figure, path)
