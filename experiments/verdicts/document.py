"""docs/RESULTS.md and README's table of claims: what the published runs show, and nothing else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from experiments import experiment as experiments
from experiments.command import typed
from experiments.experiment import SMOKE, Experiment
from experiments.published.file import RESULTS, differences_from_claim, published_files, read_lines
from experiments.published.line import Published
from experiments.published.reruns import Rerun, of_lines, read_reruns
from experiments.verdicts.judge import Judged, Verdict, counted, judge_all
from experiments.verdicts.noise import noise_floors
from experiments.verdicts.report import JUDGED_HEADER, SHOWN, fitted, judged_row, number, table
from experiments.verdicts.sources import Runs, counting, in_file
from gpt_jax.disk import read_utf8, write_atomically
from gpt_jax.errors import InputError

CHECKOUT = Path(__file__).parents[2]
BEGIN = "<!-- The table down to the next such line is made by `python -m experiments report --all --write`. -->"
END = "<!-- The table ends here. -->"
NOT_RUN, NO_PRIMARY = "no published run", "published, without a primary comparison"
INTRODUCTION = """\
# What was found?

This page is made from the published runs in `results/` by `python -m experiments report --all --write`, and a test
fails where it is not up to date. Every figure below is computed from these lines, and `report CLAIM --from published`
prints the whole report. [EVIDENCE.md](EVIDENCE.md) says what a verdict is, how a run is published, and how you make a
published run again. [LOG.md](LOG.md) tells how the findings came about, and holds figures of earlier runs that were
not published.

The table counts the verdicts on the primary comparisons of each claim."""
REPRODUCIBILITY = """\
Published runs that `verify FILE --rerun --record` made again. Most were drawn at random (`--sample N`), some chosen.
Where both runs were made alike (versions, processor, cores), "not" counts a run with any other bit. Elsewhere it counts
a run with a figure that differs by more than the tolerance of [EVIDENCE.md](EVIDENCE.md)."""


@dataclass(frozen=True)
class Found:
    """A claim and what was published of it: a report for each scale, with its lines and its verdicts."""

    claim: Experiment
    reports: tuple[tuple[Runs, list[Published], list[Judged]], ...]


def published(root: Path = RESULTS) -> list[Found]:
    """Every claim, in the order of its name. Raises `InputError` on a damaged file."""
    found = []
    for e in map(experiments.load, experiments.names()):
        reports = []
        for runs in counting(in_file, e, published_files(e.name, root)):
            reports.append((runs, list(read_lines(runs.where).values()), judge_all(runs.results, e)))
        found.append(Found(e, tuple(reports)))
    return found


def write_documents(root: Path = CHECKOUT) -> list[Path]:
    """Writes docs/RESULTS.md and README's table from results/; returns both. Raises `InputError`."""
    found = published(root / "results")
    page, readme = root / "docs" / "RESULTS.md", root / "README.md"
    text = with_table(read_utf8(readme), claims_table(found), str(readme))
    write_atomically(page, results_page(found, read_reruns(root / "results")))
    write_atomically(readme, text)
    return [page, readme]


def results_page(found: Sequence[Found], reruns: Sequence[Rerun] = ()) -> str:
    """docs/RESULTS.md."""
    kinds = get_args(Verdict)
    rows = []
    for one in found:
        for runs, lines, judged in one.reports:
            counts = Counter(j.verdict for j in judged if j.comparison.primary)
            verdicts = ["" if runs.scale == SMOKE else str(counts[kind] or "") for kind in kinds]
            rows.append((f"[`{one.claim.name}`](#{one.claim.name})", f"`{runs.scale}`", str(len(lines)), *verdicts))
        if not one.reports:
            rows.append((f"[`{one.claim.name}`](#{one.claim.name})", NOT_RUN, *[""] * (1 + len(kinds))))
    parts = [INTRODUCTION, table(("claim", "scale", "runs", *kinds), rows), *_reproducibility(found, reruns)]
    for one in found:
        parts += [f"## {one.claim.name}", one.claim.summary, f"Source: {one.claim.source}"]
        parts += [f"The paper found: {one.claim.paper}"] if one.claim.paper else []
        for report in one.reports:
            parts += _section(one.claim, *report)
        have = {runs.scale for runs, _, _ in one.reports}
        lacking = [f"`{scale}`" for scale in one.claim.scales if scale not in (SMOKE, *have)]
        parts += [f"Not run at this scale, as far as anything is published: {', '.join(lacking)}."] if lacking else []
    return "\n\n".join(parts) + "\n"


def _reproducibility(found: Sequence[Found], reruns: Sequence[Rerun]) -> list[str]:
    """Whether published runs that were made again gave their numbers again; nothing where none was."""
    rows = []
    for one in found:
        for runs, lines, _ in one.reports:
            again = of_lines(reruns, lines)
            if again:
                rows.append((f"`{one.claim.name}`", f"`{runs.scale}`", str(len(lines)), *_came_of(again)))
    every = of_lines(reruns, [line for one in found for _, lines, _ in one.reports for line in lines])
    if not rows:
        return []
    rows.append(("all", "", str(sum(len(lines) for one in found for _, lines, _ in one.reports)), *_came_of(every)))
    processors = ", ".join(sorted({run.processor or "unknown" for run in every}))
    header = ("claim", "scale", "published", "made again", "bit for bit", "within 0.5 %", "not", "largest difference")
    return [
        "## Do published runs give their numbers again?",
        REPRODUCIBILITY,
        table(header, rows),
        f"On: {processors}.",
    ]


def _came_of(again: Sequence[Rerun]) -> tuple[str, ...]:
    """Cells: how many, how many of them equal, within the tolerance, and neither; the largest difference."""
    equal, holding = sum(run.equal for run in again), sum(run.holds for run in again)
    largest = max(math.inf if run.largest is None else run.largest for run in again)
    counts = (len(again), equal, holding - equal, len(again) - holding)
    return (*(str(count or "") for count in counts), number(largest) if largest else "none")


def _section(e: Experiment, runs: Runs, lines: Sequence[Published], judged: Sequence[Judged]) -> list[str]:
    """What was found at one scale."""
    commits = Counter(line.commit[:7] for line in lines)
    made = ", ".join(f"{count} of commit `{commit}`" for commit, count in sorted(commits.items()))
    number_of_runs = counted(len(lines), "run")
    parts = [f"### At scale `{runs.scale}`", f"{number_of_runs}: {made}. {runs.on_pilots}".strip()]
    stale = [line for line in lines if differences_from_claim(line.run_config(), line.identity, e)]
    if stale:
        (first, *_) = differences_from_claim(stale[0].run_config(), stale[0].identity, e)
        parts.append(f"{len(stale)} of them are of an earlier config of the claim: {first}.")
    if runs.scale == SMOKE:
        parts.append("This scale shows that everything runs, and gives no verdicts.")
    for title, primary in (
        ("Primary comparisons:", True),
        ("Other comparisons, not corrected for their number:", False),
    ):
        rows = [judged_row(j) for j in judged if j.comparison.primary is primary]
        if rows and runs.scale != SMOKE:
            shown = [column for column in SHOWN if primary or column != "p (Holm)"]
            parts += [title, table(shown, [[row[JUDGED_HEADER.index(c)] for c in shown] for row in rows])]
    told = [j for j in judged if j.comparison.primary or j.verdict == "no evidence"]
    notes = [f"- {j.comparison.title}: {note}" for j in told for note in j.notes]
    parts += ["\n".join(notes)] if notes and runs.scale != SMOKE else []
    parts += fitted(runs)
    floors = [f"{f.metric} {number(f.sd)} ({f.of})" for f in noise_floors(runs.results, e)]
    if floors and runs.scale != SMOKE:
        parts.append(f"Noise floor, the sd that the seeds alone give the difference of two runs: {'; '.join(floors)}.")
    parts.append(f"Compute: {cost(lines)}.")
    path = f"results/{e.name}/{runs.scale}.jsonl"
    commands = (
        typed("report", e.name, "--from", "published"),
        *(typed("run", e.name, "--scale", runs.scale, *options) for options in runs.run_options),
        typed("verify", path, "--rerun", "--sample", "1"),
    )
    return [*parts, "```bash\n" + "\n".join(commands) + "\n```"]


def cost(lines: Sequence[Published]) -> str:
    """FLOP and hours that passed in all runs, also while other programs ran: core-hours where the cores are known."""
    flops, seconds = sum(line.flops or 0 for line in lines), [line.seconds or 0 for line in lines]
    cores = [line.how[0].get("cores") or 0 if len(line.how) == 1 else 0 for line in lines]
    if all(cores):
        spent = sum(time * count for time, count in zip(seconds, cores, strict=True))
        return f"{flops:.3g} FLOP, {spent / 3600:.2g} core-hours that passed"
    return f"{flops:.3g} FLOP, {sum(seconds) / 3600:.2g} hours (the cores are not known)"


def claims_table(found: Sequence[Found]) -> str:
    """README's table: a row for each claim."""
    rows = []
    for one in found:
        verdicts = []
        for runs, _, judged in one.reports:
            counts = Counter(j.verdict for j in judged if j.comparison.primary)
            told = ", ".join(f"{counts[kind]} {kind}" for kind in get_args(Verdict) if counts[kind])
            if runs.scale != SMOKE and told:
                verdicts.append(f"`{runs.scale}`: {told}")
        none = NO_PRIMARY if any(runs.scale != SMOKE for runs, _, _ in one.reports) else NOT_RUN
        link = f"[{'; '.join(verdicts) or none}](docs/RESULTS.md#{one.claim.name})" if one.claim.comparisons else ""
        rows.append((f"`{one.claim.name}`", one.claim.summary, one.claim.source, link))
    return table(("experiment", "claim", "source", "verdicts"), rows)


def with_table(text: str, made: str, name: str) -> str:
    """`text` with its table replaced. Raises `InputError` where the two lines around it are not there, once each."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in after or END in after:
        raise InputError(f"{name}: the lines around the table of claims must be there, once each: {BEGIN} {END}")
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"
