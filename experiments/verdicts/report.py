"""The report of an experiment: what was claimed, what was seen, with what confidence and at what cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.experiment import FAILED, SMOKE, Experiment
from experiments.runs.results import Result
from experiments.verdicts import plots
from experiments.verdicts.evidence import NATS, SCORE
from experiments.verdicts.judge import Judged, counted, judge_all
from experiments.verdicts.noise import noise_floors
from experiments.verdicts.sources import Runs
from experiments.verdicts.statistics import mean_and_sd
from gpt_jax.disk import write_atomically
from gpt_jax.intervals import Interval, proportion

RULE = f"""\
Reproduced: the 95 % interval lies wholly on the stated side of 0, and the estimate reaches the stated margin.
Contradicted: the same on the other side. Ruled out: the interval lies wholly between the margin and its negative,
which excludes an effect of the stated size, whichever its sign. Not decided: the interval is too wide. Where equality
was stated, the interval must lie within the margins (reproduced) or outside them (contradicted). No evidence: a smoke
scale; too few seeds; runs that have not learned (by their mean, a language model must be {NATS:g} nats/token below the
unigram entropy, and a classifier {SCORE:g} above the majority's label); a baseline that is ahead of both sides; and
equality in an experiment that tells no known difference apart. Intervals of means are Student's t over paired seeds.
Those of failure rates combine two Clopper-Pearson intervals, each at 97.5 %, and take runs for independent. Failed
runs count as failures and are left out of means. Where sweeps are compared, each seed is scored with the arms that
are best on the other seeds. p is two-sided, of no difference (Student's t; Fisher's exact test for
failure rates); where equality was stated, of a difference as large as the margin. Holm's correction is over the
primary comparisons; verdicts follow the plain intervals."""
SEEDS = """\
An effect is seen if it is larger than half of the interval. As many pairs are needed as make that half smaller than
the margin (Stein 1945), from the spread of the first stage, which is the scale's own seeds; `run --to-decide` adds
them. With pairs of further seeds, the interval is the mean of all pairs, with the spread and the degrees of freedom of
the first stage; where Student's interval over all pairs is wider, that one is."""


@dataclass(frozen=True)
class Report:
    """What `report` prints and where it wrote."""

    runs: Runs
    judged: list[Judged]
    missing: list[str]
    path: Path
    pictures: list[Path]

    @property
    def experiment(self) -> Experiment:
        return self.runs.experiment

    @property
    def results(self) -> list[Result]:
        return self.runs.results


def make_report(runs: Runs, folder: Path) -> Report:
    """Judges the runs, and writes `report.md` and its pictures into `folder`."""
    experiment, results = runs.experiment, runs.results
    judged = judge_all(results, experiment)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [plots.loss_by_arm(results, folder / "loss.png")]
    if any(one.differences for one in judged):
        pictures.append(plots.differences(judged, folder / "differences.png"))
    for metric, axis in experiment.profiles.items():
        if any(isinstance(r.metrics.get(metric), list) for r in results):
            pictures.append(plots.profile(results, metric, axis, folder / f"{metric.replace('/', '_')}.png"))
    report = Report(runs, judged, missing_runs(runs), folder / "report.md", pictures)
    write_atomically(report.path, to_markdown(report))
    return report


def missing_runs(runs: Runs) -> list[str]:
    """The runs of the scale's plan, and those begun, that have no result; in words."""
    experiment, scale = runs.experiment, runs.scale
    done = {(r.arm, r.seed) for r in runs.results}
    own = experiment.scale(scale)
    fresh, there = experiment.fresh_seeds(scale), {result.seed for result in runs.results}
    seeds = own.one_stage if there - set(own.seeds) - fresh else own.seeds
    planned = [(arm, seed) for arm in experiment.select(scale) for seed in seeds]
    again = (c for c in experiment.comparisons if there & set(c.fresh.get(scale, ())))
    planned += dict.fromkeys((arm, seed) for c in again for arm in c.arms for seed in c.fresh[scale])
    out = [f"{arm} seed {seed} (begun)" for arm, seed in sorted(runs.begun)]
    return out + [f"{arm} seed {s}" for arm, s in planned if (arm, s) not in done and (arm, str(s)) not in runs.begun]


def to_markdown(report: Report) -> str:
    """The whole report."""
    e, results = report.experiment, report.results
    parts = [f"# {e.name}", e.claim.strip(), f"Source: {e.source}"]
    made, arms = counted(len(results), "finished run"), counted(len({r.arm for r in results}), "arm")
    state = f"Scale `{results[0].scale}`: {made} of {arms}, "
    state += (
        f"read from {'the published file' if report.runs.published else 'the run folders in'} `{report.runs.where}`."
    )
    if report.runs.pilots:
        state += f" {report.runs.on_pilots}"
    if report.missing:
        state += f" **Partial**: {len(report.missing)} not finished: {', '.join(report.missing)}."
    if results[0].scale == SMOKE:
        state += " A smoke scale shows that everything runs, and gives no verdicts."
    parts.append(state)
    for title, primary in (("## Verdicts", True), ("## Other comparisons (not corrected for their number)", False)):
        rows = [judged_row(j) for j in report.judged if j.comparison.primary is primary]
        if rows:
            parts += [title, table(JUDGED_HEADER if primary else JUDGED_HEADER[:-1], rows)]
    notes = [f"- {j.comparison.title}: {note}" for j in report.judged for note in j.notes]
    parts += ["\n".join(notes)] if notes else []
    parts += fitted(report.runs)
    if report.judged:
        parts.append(RULE)
    parts += how_many_seeds(report)
    parts += ["## Arms", table(arms_header(e), arms_rows(report))]
    failed = [f"- {r.arm} seed {r.seed}: {r.failure}" for r in results if r.failure]
    parts += ["## Failed runs", "\n".join(failed)] if failed else []
    parts += _per_seed(report.judged)
    floor = noise_floor(report)
    parts += ["## Noise floor", floor] if floor else []
    parts += ["## Compute", compute_used(results)]
    parts += [f"![{picture.stem}]({picture.name})" for picture in report.pictures]
    return "\n\n".join(parts) + "\n"


JUDGED_HEADER = (
    "comparison",
    "metric",
    "stated",
    "difference",
    "95 % interval",
    "bootstrap",
    "n",
    "verdict",
    "p",
    "p (Holm)",
)

SHOWN = ("comparison", "metric", "stated", "difference", "95 % interval", "n", "verdict", "p (Holm)")  # on other pages


def judged_row(judged: Judged) -> tuple[str, ...]:
    """One comparison, as cells under `JUDGED_HEADER`; of one that is not primary, without the last."""
    c = judged.comparison
    estimate = judged.interval.estimate if judged.interval else mean_and_sd(list(judged.differences.values()))[0]
    title = c.title
    if c.metric != FAILED and len(c.treatments) + len(c.controls) > 2:
        title += f": {judged.treatment} - {judged.control}"
    return (
        title,
        c.metric,
        c.stated,
        number(estimate, signed=True),
        span(judged.interval),
        span(judged.bootstrap),
        str(judged.n),
        f"**{judged.verdict}**",
        number(judged.p),
        *([number(judged.holm)] if c.primary else []),
    )


def fitted(runs: Runs) -> list[str]:
    """What the claim fits to its runs, as a list."""
    found = [f"- {line}" for line in runs.findings]
    return ["Fitted to all of these runs:", "\n".join(found)] if found else []


def verdict_line(judged: Judged) -> str:
    """One comparison as a line of text."""
    title, metric, stated, difference, interval, _, n, found, *_ = judged_row(judged)
    return f"{found.strip('*'):<12}  {title}: {metric} {difference} {interval}, n = {n} (stated: {stated})"


def how_many_seeds(report: Report) -> list[str]:
    """What effect each comparison of means could have shown, and with how many pairs one of its margin shows."""
    rows = [
        (
            j.comparison.title,
            j.comparison.metric,
            f"{j.comparison.margin:g}",
            number(j.sd),
            str(j.n),
            number(j.could_see),
            str(j.needed or "-"),
        )
        for j in report.judged
        if j.first
    ]
    header = ("comparison", "metric", "margin", "sd of a difference", "pairs", "effect seen from", "pairs needed")
    return ["## How many seeds", SEEDS, table(header, rows)] if rows else []


def arms_header(experiment: Experiment) -> tuple[str, ...]:
    """The names of `arms_rows`' cells."""
    return ("arm", "n", "failed", "failure rate (95 %)", *(f"{metric} (mean ± sd)" for metric in experiment.metrics))


def arms_rows(report: Report) -> list[tuple[str, ...]]:
    """One row per arm that has results; means are over runs that did not fail."""
    rows = []
    for arm in dict.fromkeys(r.arm for r in report.results):
        runs = [r for r in report.results if r.arm == arm]
        good = [r for r in runs if not r.failure]
        rate = proportion(len(runs) - len(good), len(runs))
        cells = []
        for metric in report.experiment.metrics:
            mean, sd = mean_and_sd([v for r in good if math.isfinite(v := r.value(metric))])
            cells.append("-" if math.isnan(mean) else number(mean) + ("" if math.isnan(sd) else f" ± {number(sd)}"))
        rows.append((arm, str(len(runs)), str(len(runs) - len(good)), f"{rate.estimate:.2f} {span(rate)}", *cells))
    return rows


def noise_floor(report: Report) -> str:
    """What changing nothing but the seeds does, a line for each metric; "" where no two runs tell."""
    floors = noise_floors(report.results, report.experiment)
    lines = [
        f"- {f.metric}: sd {number(f.sd)}; the mean of {f.n} is within ±{number(f.half)} of 0 with 95 % ({f.of})"
        for f in floors
    ]
    head = "What the seeds alone do to the difference of two runs of one arm:"
    return "\n".join([head, *lines]) if lines else ""


def compute_used(results: Sequence[Result]) -> str:
    """Tokens, FLOPs and seconds over all runs."""
    totals = {
        "tokens": "tokens trained on",
        "train/flops": "FLOP",
        "time/seconds": "seconds",
    }
    known = {key: [v for r in results if math.isfinite(v := r.value(key))] for key in totals}
    lines = [
        f"- {sum(known[key]):,.0f} {label}" + ("" if len(known[key]) == len(results) else f" ({len(known[key])} runs)")
        for key, label in totals.items()
        if known[key]
    ]
    return "\n".join([f"- {len(results)} runs", *lines])


def number(value: float, signed: bool = False) -> str:
    """Four significant digits (whole numbers from 10,000 on), or "-" for a number that is not there."""
    if math.isnan(value):
        return "-"
    return f"{value:{'+' if signed else ''}{',.0f' if abs(value) >= 10_000 else '.4g'}}"


def span(interval: Interval | None) -> str:
    return "-" if interval is None else f"[{interval.low:.4g}, {interval.high:.4g}]"


def _per_seed(judged: Iterable[Judged]) -> list[str]:
    judged = [j for j in judged if j.differences]
    if not judged:
        return []
    seeds = sorted({seed for j in judged for seed in j.differences})
    rows = [
        (j.comparison.title, j.comparison.metric, *(number(j.differences.get(s, math.nan), True) for s in seeds))
        for j in judged
    ]
    return ["## Differences by seed", table(("comparison", "metric", *(f"seed {s}" for s in seeds)), rows)]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
