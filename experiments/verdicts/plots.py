"""PNG pictures of runs. Matplotlib is imported on use, and drawn without a display or global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.experiment import Comparison
from experiments.runs.pictures import empty, new_figure, save, style
from experiments.runs.results import LOSS, Result
from experiments.verdicts.judge import Judged


def loss_by_arm(results: Sequence[Result], png_path: Path, metric: str = LOSS) -> Path:
    """`metric` over tokens: one thin line per run, one thick line for each arm's mean; failures dotted."""
    figure, axes = new_figure("tokens seen", metric)
    for color, (arm, runs) in _colors(_grouped(results)):
        curves = [(run, curve.tokens, curve.value) for run in runs for curve in [run.curve(metric)]]
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
    return save(figure, png_path)


def differences(judged: Sequence[Judged], png_path: Path) -> Path:
    """Each comparison as a row: a dot per seed, the mean with its 95 % interval, its verdict. One panel per metric.

    The band is what lies within the margins, and its dark edge is what was stated: the side beyond which an effect
    counts, or both sides where equality was stated.
    """
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        if one.differences:
            groups.setdefault(one.comparison.metric, []).append(one)
    figure = empty(height=sum(0.8 + 0.35 * len(group) for group in groups.values()))
    legend = "dots: seeds; diamond: mean and 95 % interval; band: within the margins; its dark edge: what was stated"
    figure.suptitle(legend, fontsize=7)
    panels = figure.subplots(len(groups), squeeze=False, height_ratios=[1 + len(group) for group in groups.values()])
    for axes, (metric, group) in zip(panels[:, 0], groups.items(), strict=True):
        style(axes, f"{metric}: treatment less control", "")
        for row, one in enumerate(reversed(group)):
            values = list(one.differences.values())
            _margins(axes, row, one.comparison)
            axes.text(1.01, row, one.verdict, transform=axes.get_yaxis_transform(), fontsize=7, va="center")
            axes.plot(values, [row] * len(values), "o", color="C0", alpha=0.4, markersize=4)
            if one.interval is not None:
                estimate, low, high = one.interval
                error = [[estimate - low], [high - estimate]]
                axes.errorbar([estimate], [row], xerr=error, fmt="D", color="C1", capsize=4)
        axes.axvline(0, color="0.6", linewidth=0.8)
        axes.set_ylim(-0.6, len(group) - 0.4)
        axes.set_yticks(range(len(group)), [one.comparison.title for one in reversed(group)], fontsize=7)
    return save(figure, png_path)


def _margins(axes: Any, row: int, comparison: Comparison) -> None:
    m = comparison.margin
    if m:
        axes.barh(row, 2 * m, left=-m, height=0.8, color="C2", alpha=0.15, linewidth=0)
        stated = {"lower": (-m,), "higher": (m,), "equal": (-m, m)}[comparison.expected]
        axes.vlines(stated, row - 0.4, row + 0.4, color="C2", linewidth=1.5)


def profile(results: Sequence[Result], metric: str, axis: str, png_path: Path) -> Path:
    """A metric that is a list, over its index: the mean of each arm, its runs as thin lines. Positive values that span
    more than two decades are on a logarithmic axis."""
    figure, axes = new_figure(axis, metric)
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
    return save(figure, png_path)


def _grouped(results: Sequence[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.arm, []).append(result)
    return groups


def _colors(groups: Mapping[str, Any]) -> list[tuple[Any, tuple[str, Any]]]:
    """A colour for each group: matplotlib's ten colours, or more colours along a map."""
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
    figure, axes = new_figure("tokens of pre-training", "score: 0 is chance, 1 is 100 %")
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
    return save(figure, path)
