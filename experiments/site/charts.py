"""The pages' plots as Vega-Lite specifications: curves with bands over seeds, and intervals against their margins.

A specification is a plain dictionary. The browser draws it as SVG, in the page's colours, and shows a mark's figures
under the pointer.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.verdicts.judge import Judged
from experiments.verdicts.statistics import t_interval

Chart = dict[str, Any]
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"  # the dialect's name: nothing is fetched from there
POINTS = 60  # of a curve, at the most
LABEL = 24  # characters in a line of a comparison's name, beside a plot on a phone
FEW = 8  # so many places on an axis are each named
VERDICT_COLORS = {
    "reproduced": "#2e8b57",
    "contradicted": "#c0392b",
    "ruled out": "#8e5ea2",
    "not decided": "#b8860b",
    "no evidence": "#7f8c8d",
}


@dataclass(frozen=True)
class Curve:
    """One run's values of a metric: x (tokens, or a position) and y of equal length, and whether the run failed."""

    arm: str
    x: Sequence[float]
    y: Sequence[float]
    failed: bool = False


def band_rows(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """The mean of some runs of an arm at the x that all of them have, with Student's 95 % interval of two and more.

    Runs with equally many points, as fine-tunings after each epoch, are paired point by point, at the mean of their x:
    each seed draws examples of other lengths.
    """
    shared = [x for x in curves[0].x if all(x in curve.x for curve in curves)]
    count, *others = {len(curve.x) for curve in curves}
    if others or len(shared) == count:
        found = [(x, [curve.y[list(curve.x).index(x)] for curve in curves]) for x in shared]
    else:
        xs, ys = zip(*(curve.x for curve in curves), strict=True), zip(*(curve.y for curve in curves), strict=True)
        found = [(float(np.mean(x)), list(y)) for x, y in zip(xs, ys, strict=True)]
    places = sorted({*np.linspace(0, len(found) - 1, POINTS).round().astype(int).tolist()}) if found else []
    rows = []
    for x, values in (found[place] for place in places):
        row = {"arm": curves[0].arm, "runs": STATES[curves[0].failed], "n": len(values), "x": x}
        row["mean"] = float(np.mean(values))
        if len(values) > 1:
            interval = t_interval(values)
            row |= {"low": interval.low, "high": interval.high}
        rows.append(row)
    return rows


STATES = ("finished", "failed")


def curves(runs: Sequence[Curve], x_title: str, y_title: str) -> Chart:
    """Each arm's mean as a line in its band, and the mean of its failed runs as a dashed line.

    A click on the legend shows one arm alone. Positive values that span more than two decades are on a logarithmic
    axis.
    """
    groups: dict[tuple[str, bool], list[Curve]] = {}
    for run in runs:
        groups.setdefault((run.arm, run.failed), []).append(run)
    rows = [row for group in groups.values() for row in band_rows(group)]
    arms, means = list(dict.fromkeys(run.arm for run in runs)), [row["mean"] for row in rows]
    scale = {"type": "log"} if means and min(means) > 0 and max(means) > 100 * min(means) else {"zero": False}
    tooltip = [
        {"field": "arm", "type": "nominal", "title": "arm"},
        {"field": "runs", "type": "nominal", "title": "runs that"},
        {"field": "x", "type": "quantitative", "title": x_title, "format": ","},
        {"field": "mean", "type": "quantitative", "title": y_title, "format": ".4f"},
        {"field": "low", "type": "quantitative", "title": "95 % from", "format": ".4f"},
        {"field": "high", "type": "quantitative", "title": "95 % to", "format": ".4f"},
        {"field": "n", "type": "quantitative", "title": "runs"},
    ]
    color = {
        "field": "arm",
        "type": "nominal",
        "sort": arms,
        "scale": {"scheme": "tableau20" if len(arms) > 10 else "tableau10"},
        "legend": {"title": None} if len(arms) > 1 else None,
    }
    dash = {
        "field": "runs",
        "type": "nominal",
        "scale": {"domain": STATES, "range": [[1, 0], [5, 4]]},
        "legend": {"title": None, "symbolType": "stroke", "symbolStrokeColor": "#888888", "symbolStrokeWidth": 2}
        if any(run.failed for run in runs)
        else None,
    }
    band = {
        "transform": [{"filter": f"isValid(datum.low) && datum.runs === '{STATES[False]}'"}],
        "mark": {"type": "area", "tooltip": None},
        "encoding": {
            "y": {"field": "low", "type": "quantitative", "title": y_title, "scale": scale},
            "y2": {"field": "high"},
            "opacity": {"condition": {"param": "arm", "value": 0.18}, "value": 0.02},
        },
    }
    line = {
        "params": [{"name": "arm", "select": {"type": "point", "fields": ["arm"]}, "bind": "legend"}],
        "mark": {"type": "line", "point": {"size": 22, "filled": True}, "strokeWidth": 2},
        "encoding": {
            "y": {"field": "mean", "type": "quantitative", "title": y_title, "scale": scale},
            "strokeDash": dash,
            "opacity": {"condition": {"param": "arm", "value": 1}, "value": 0.08},
            "tooltip": tooltip,
        },
    }
    places = sorted({row["x"] for row in rows})
    axis = {"format": "~s", **({"values": places} if len(places) <= FEW else {})}
    x = {"field": "x", "type": "quantitative", "title": x_title, "axis": axis, "scale": {"nice": False}}
    return {**_base(rows), "height": 300, "encoding": {"x": x, "color": color}, "layer": [band, line]}


def forest(judged: Sequence[Judged]) -> Chart:
    """Comparisons of one metric that have intervals: a diamond with its 95 % interval each, a dot for each seed, and a
    bar over what lies within the margins."""
    rows = [
        {
            "name": one.comparison.title,
            "label": _in_lines(one.comparison.title),
            "verdict": one.verdict,
            "stated": one.comparison.stated,
            "n": one.n,
            "from": -one.comparison.margin,
            "to": one.comparison.margin,
            **(one.interval._asdict() if one.interval else {}),
        }
        for one in judged
    ]
    dots = [
        {"name": one.comparison.title, "label": _in_lines(one.comparison.title), "seed": seed, "difference": difference}
        for one in judged
        for seed, difference in one.differences.items()
    ]
    metric = judged[0].comparison.metric
    y = {
        "field": "label",
        "type": "nominal",
        "title": None,
        "sort": [one["label"] for one in rows],
        "axis": {"labelExpr": "split(datum.label, '\\n')"},
    }
    found = [verdict for verdict in VERDICT_COLORS if any(row["verdict"] == verdict for row in rows)]
    color = {
        "field": "verdict",
        "type": "nominal",
        "title": None,
        "scale": {"domain": found, "range": [VERDICT_COLORS[verdict] for verdict in found]},
    }
    tooltip = [
        {"field": "name", "type": "nominal", "title": "comparison"},
        {"field": "verdict", "type": "nominal", "title": "verdict"},
        {"field": "stated", "type": "nominal", "title": "stated"},
        *({"field": f, "type": "quantitative", "title": t, "format": "+.4~f"} for f, t in INTERVAL),
        {"field": "n", "type": "quantitative", "title": "pairs"},
    ]
    x = {"type": "quantitative", "title": metric}
    return {
        **_base(rows),
        "height": {"step": 34},
        "layer": [
            {
                "mark": {"type": "bar", "opacity": 0.16, "color": "#2e8b57", "height": 24, "tooltip": None},
                "encoding": {"y": y, "x": {"field": "from", **x}, "x2": {"field": "to"}},
            },
            {"mark": {"type": "rule", "strokeDash": [3, 3], "opacity": 0.6}, "encoding": {"x": {"datum": 0}}},
            {
                "data": {"values": dots},
                "mark": {"type": "circle", "size": 28, "opacity": 0.45},
                "encoding": {
                    "y": y,
                    "x": {"field": "difference", "type": "quantitative"},
                    "tooltip": [
                        {"field": "name", "type": "nominal", "title": "comparison"},
                        {"field": "seed", "type": "nominal", "title": "seed"},
                        {"field": "difference", "type": "quantitative", "format": "+.4~f"},
                    ],
                },
            },
            {
                "mark": {"type": "rule", "strokeWidth": 2.5},
                "encoding": {
                    "y": y,
                    "x": {"field": "low", **x},
                    "x2": {"field": "high"},
                    "color": color,
                    "tooltip": tooltip,
                },
            },
            {
                "mark": {"type": "point", "shape": "diamond", "size": 110, "filled": True, "opacity": 1},
                "encoding": {"y": y, "x": {"field": "estimate", **x}, "color": color, "tooltip": tooltip},
            },
        ],
    }


def _in_lines(title: str) -> str:
    return "\n".join(textwrap.wrap(title, LABEL))


INTERVAL = (("estimate", "difference"), ("low", "95 % from"), ("high", "95 % to"))


def _base(rows: Sequence[Mapping[str, Any]]) -> Chart:
    return {"$schema": SCHEMA, "width": "container", "data": {"values": list(rows)}}
