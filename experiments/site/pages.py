"""What a claim's page says, made of the claim and of the runs that were published of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.command import START
from experiments.experiment import SMOKE, Experiment
from experiments.published.file import read_lines
from experiments.published.line import Published
from experiments.runs.results import LOSS, Result
from experiments.site import charts
from experiments.site.charts import Chart, Curve
from experiments.verdicts.judge import Judged, judge_all
from experiments.verdicts.report import (
    Report,
    arms_header,
    arms_rows,
    missing_runs,
    noise_floor,
    number,
    span,
)
from experiments.verdicts.sources import Runs, counting, in_file

SAMPLES = 3  # arms whose text a page shows


@dataclass(frozen=True)
class Scale:
    """A claim's published runs at one scale."""

    name: str
    state: str
    verdicts: Mapping[str, int]  # of the primary comparisons
    primary: list[dict[str, Any]]
    other: list[dict[str, Any]]
    forests: dict[str, Chart]  # the element's id -> what is drawn there
    curves: dict[str, tuple[str, Chart]]  # the element's id -> heading and what is drawn there
    arms_header: Sequence[str]
    arms: Sequence[Sequence[str]]
    failures: list[str]
    missing: list[str]
    noise: list[str]
    findings: list[str]
    cost: list[str]
    environment: list[tuple[str, str]]
    samples: list[tuple[str, str]]
    commands: list[tuple[str, str]]


@dataclass(frozen=True)
class Page:
    """A claim: what was stated, what the paper found, and what was found here, scale by scale."""

    name: str
    summary: str
    paper: str
    source: str
    claim: list[str]
    settings_header: Sequence[str]
    settings: list[Sequence[str]]
    scales: list[Scale]

    @property
    def href(self) -> str:
        return f"{self.name}.html"

    @property
    def verdicts(self) -> Counter[str]:
        """How often each verdict was found, over the primary comparisons of all scales."""
        return sum((Counter(scale.verdicts) for scale in self.scales), Counter())

    @property
    def lead(self) -> str:
        """What was found, in one sentence."""
        if not self.scales:
            return "No run is published yet."
        if not self.verdicts:
            return "Its runs compare nothing: they show that everything runs, or what a run looks like."
        return f"Of {self.verdicts.total()} primary comparisons: {counted(self.verdicts)}."

    @property
    def drawn(self) -> str:
        """Every chart by its element's id, as JSON that may stand in a page."""
        found: dict[str, Chart] = {}
        for scale in self.scales:
            found |= scale.forests | {place: chart for place, (_, chart) in scale.curves.items()}
        return json.dumps(found, allow_nan=False).replace("</", "<\\/")


def counted(verdicts: Mapping[str, int]) -> str:
    """ "2 reproduced, 1 ruled out", in the order in which verdicts are explained."""
    return ", ".join(f"{verdicts[v]} {v}" for v in charts.VERDICT_COLORS if verdicts.get(v))


def page(experiment: Experiment, files: Sequence[Path]) -> Page:
    """The page of a claim from its published files, the largest scale first. Raises `InputError` on damaged files."""
    order = list(experiment.scales)
    read = counting(in_file, experiment, files)
    largest_first = sorted(read, key=lambda runs: -order.index(runs.scale) if runs.scale in order else 1)
    keys = experiment.arm_keys
    return Page(
        name=experiment.name,
        summary=experiment.summary,
        paper=experiment.paper,
        source=experiment.source,
        claim=[" ".join(part.split()) for part in experiment.claim.strip().split("\n\n")[1:]],
        settings_header=("arm", *keys),
        settings=[(arm, *(_setting(own, key) for key in keys)) for arm, own in experiment.arms.items()],
        scales=[_scale(experiment, runs) for runs in largest_first],
    )


def _setting(overrides: Mapping[str, Any], key: str) -> str:
    value = overrides.get(key, "")
    return "as the base asks" if callable(value) else str(value)


def _scale(experiment: Experiment, runs: Runs) -> Scale:
    path = runs.where
    report = Report(runs, judge_all(runs.results, experiment), missing_runs(runs), path, [])
    lines = list(read_lines(path).values())
    name = path.stem
    shown = [_comparison(one) for one in report.judged]
    noise = [line.removeprefix("- ") for line in noise_floor(report).replace("`", "").splitlines()]
    state = f"{len(lines)} runs of {len({r.arm for r in report.results})} arms at scale {name}."
    state += f" {runs.on_pilots}" if runs.pilots else ""
    return Scale(
        name=name,
        state=state + (" A smoke scale shows that everything runs, and gives no verdicts." if name == SMOKE else ""),
        verdicts=Counter(one.verdict for one in report.judged if one.comparison.primary and name != SMOKE),
        primary=[one for one in shown if one["primary"]],
        other=[one for one in shown if not one["primary"]],
        forests=_forests(report.judged, name),
        curves=_curves(experiment, report.results, name),
        arms_header=arms_header(experiment),
        arms=arms_rows(report),
        failures=_failures(report.results),
        missing=report.missing,
        noise=noise or ["This claim has no pair of arms that differ in their seeds alone."],
        findings=runs.findings,
        cost=_cost(lines),
        environment=environment(lines),
        samples=_samples(lines),
        commands=_commands(experiment, name, path, runs.run_options),
    )


def _comparison(judged: Judged) -> dict[str, Any]:
    c, interval = judged.comparison, judged.interval
    estimate = number(interval.estimate, signed=True) if interval else "no interval"
    return {
        "name": c.title,
        "primary": c.primary,
        "metric": c.metric,
        "stated": c.stated,
        "verdict": judged.verdict,
        "found": f"{estimate} {span(interval)}" if interval else estimate,
        "n": judged.n,
        "holm": number(judged.holm),
        "notes": judged.notes,
    }


def _forests(judged: Sequence[Judged], scale: str) -> dict[str, Chart]:
    metrics = dict.fromkeys(one.comparison.metric for one in judged if one.interval is not None)
    drawn = [charts.forest([one for one in judged if one.comparison.metric == m and one.interval]) for m in metrics]
    return {f"{scale}-intervals-{number}": chart for number, chart in enumerate(drawn, 1)}


def _curves(experiment: Experiment, results: Sequence[Result], scale: str) -> dict[str, tuple[str, Chart]]:
    """The validation loss by tokens, and each metric of the claim that is a list. Runs that failed are told apart."""
    loss = [Curve(r.arm, curve.tokens, curve.value, bool(r.failure)) for r in results if (curve := r.curve(LOSS)).step]
    unit = "nats/example" if experiment.base.kind == "finetuning" else "nats/token"
    drawn = [("Validation loss", charts.curves(loss, "tokens seen", unit))] if loss else []
    for metric, axis in experiment.profiles.items():
        lists = ((r, r.metrics.get(metric)) for r in results)
        own = [
            Curve(r.arm, range(len(y)), y, bool(r.failure)) for r, y in lists if isinstance(y, list) and None not in y
        ]
        if own:
            drawn.append((metric, charts.curves(own, axis, metric)))
    drawn = [one for one in drawn if one[1]["data"]["values"]]  # a plot of nothing has no height that ends
    return {f"{scale}-curve-{number}": one for number, one in enumerate(drawn, 1)}


def _failures(results: Sequence[Result]) -> list[str]:
    """A line for each arm with failed runs."""
    lines = []
    for arm in dict.fromkeys(result.arm for result in results):
        runs = [result for result in results if result.arm == arm]
        failed = [result for result in runs if result.failure]
        if failed:
            why = f"seed {failed[0].seed}: {failed[0].failure}"
            lines.append(f"{arm}: {len(failed)} of {len(runs)} runs ({why}{', ...' if len(failed) > 1 else ''})")
    return lines


def _cost(lines: Sequence[Published]) -> list[str]:
    """What all runs took; core-hours are the hours of each run times the cores that it had, where that is known."""
    tokens, flops = (sum(getattr(line, name) or 0 for line in lines) for name in ("tokens", "flops"))
    hours = sum(line.seconds or 0 for line in lines) / 3600
    cores = [max((how.get("cores") or 0 for how in line.how), default=0) for line in lines]
    found = [f"{len(lines)} runs", f"{tokens:,} tokens trained on", f"{flops:.3g} FLOP", f"{hours:.2g} hours of runs"]
    if all(cores):
        spent = sum((line.seconds or 0) * own for line, own in zip(lines, cores, strict=True)) / 3600
        found.append(f"{spent:.2g} core-hours")
    return found


def environment(lines: Sequence[Published]) -> list[tuple[str, str]]:
    """What the runs ran on: each value that the environments of `lines` have, with how many runs where they differ."""
    found: dict[str, Counter[str]] = {}
    for line in lines:
        for key, value in {"commit": line.commit, **_flat(line.environment)}.items():
            if value not in (None, "", [], {}):
                found.setdefault(key, Counter())[str(value)] += 1
    return [
        (key, "; ".join(f"{v} ({n} runs)" for v, n in values.items()) if len(values) > 1 else next(iter(values)))
        for key, values in found.items()
    ]


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return flat


def _samples(lines: Sequence[Published]) -> list[tuple[str, str]]:
    """The last text of the first seed of some arms."""
    first = {line.arm: line for line in reversed(lines) if line.sample}
    return [(f"{arm}, seed {line.seed}", line.sample) for arm, line in list(reversed(first.items()))[:SAMPLES]]


def _commands(
    experiment: Experiment, scale: str, path: Path, options: Sequence[Sequence[str]]
) -> list[tuple[str, str]]:
    name, file = experiment.name, f"results/{path.parent.name}/{path.name}"
    own, *fresh = (" ".join([f"{START} run {name} --scale {scale}", *words]) for words in options)
    return [
        ("This command runs the claim, and goes on where it stopped:", own),
        *(("This one runs the fresh seeds that count for a comparison alone:", run) for run in fresh),
        ("This command gives the verdicts on your runs:", f"{START} report {name}"),
        ("This command gives the verdicts on the published runs again:", f"{START} report {name} --from published"),
        (
            "This command makes three of the published runs again, and compares them bit by bit:",
            f"{START} verify {file} --sample 3 --rerun",
        ),
    ]
