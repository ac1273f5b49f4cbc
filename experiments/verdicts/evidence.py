"""Whether runs can show anything: they must have learned, and no baseline may be ahead of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.experiment import Comparison
from experiments.runs.results import LOSS, UNIGRAM, Result
from experiments.verdicts.statistics import mean_and_sd

NATS = 0.1  # a language model has learned if its validation loss is as far below the unigram entropy (nats/token)
SCORE = 0.02  # a classifier has, if its score on its own test set is as far above the majority's label
MAJORITY, OWN_TEST = "majority/", "test/"
BASELINES = ("bag_of_words/", MAJORITY)
GAPS = ("gap/", "relative_gap/")  # metrics of what is lost: a model that has nothing loses nothing


def why_none(sides: Sequence[Sequence[Result]], comparison: Comparison, least: Mapping[str, float]) -> str:
    """Why a comparison of these runs (treatment's, control's) is no evidence, or "" if it can be.

    A side has learned if the mean of its runs passes every one of `bars`. One side must have, since a model that learns
    is ahead of one that does not; of a gap, both must. A baseline that the runs measure (bag-of-words, the majority's
    label) must not be ahead of both sides: in the comparison's metric, or for a gap, in the score on the own test set.
    A metric that does not depend on training (`with_failed`) needs neither, and one that is compared with a baseline
    (`against`) needs only to have learned.
    """
    if comparison.with_failed:
        return ""
    is_gap = comparison.metric.startswith(GAPS)
    missed = [shortfall(runs, least) for runs in sides]
    if all(missed) or (is_gap and any(missed)):
        return next(filter(None, missed))
    score = own_score(sides[0][0]) if is_gap else comparison.metric
    if comparison.against or score is None:
        return ""
    for baseline in BASELINES:
        theirs = _mean(sides[0], baseline + score)
        ours = [_mean(runs, score) for runs in sides]
        if all(value < theirs for value in ours):
            name = baseline.strip("/").replace("_", "-")
            return f"{name} is ahead: its {score} is {theirs:.4g}, the runs' at most {max(ours):.4g}"
    return ""


def one_sided(sides: Sequence[Sequence[Result]], comparison: Comparison, least: Mapping[str, float]) -> str:
    """What the side that has not learned lacks, where the other has: the comparison then says that one trains and the
    other does not, and little of how well."""
    if comparison.with_failed or len(sides) < 2:
        return ""
    missed = list(filter(None, (shortfall(runs, least) for runs in sides)))
    return f"{missed[0]}: the other side has learned, and the comparison says little more" if len(missed) == 1 else ""


def shortfall(runs: Sequence[Result], least: Mapping[str, float]) -> str:
    """The first bar that the runs' mean does not reach, in words; "" if there is none."""
    arm, found = runs[0].arm, bars(runs[0], least)
    if not found:
        return f"{arm}: neither {UNIGRAM} nor {MAJORITY}{OWN_TEST}... is known, so nothing shows that it has learned"
    for name, (metric, reference, sign, amount) in found.items():
        ours = _mean(runs, metric)
        bar = amount if reference is None else _mean(runs, reference) + sign * amount
        if not sign * (ours - bar) >= 0:
            return f"{arm} has not learned: its {metric} is {ours:.4g}, and {name} is {bar:.4g}"
    return ""


def bars(run: Result, least: Mapping[str, float]) -> dict[str, tuple[str, str | None, int, float]]:
    """What shows that runs like this one have learned: name -> (metric, reference metric, sign, amount).

    Metric must be `amount` beyond the reference, above it for the sign 1 and below it for -1.
    """
    found: dict[str, tuple[str, str | None, int, float]] = {}
    score = own_score(run)
    if score is not None:
        found[f"the majority's, and {SCORE:g} more,"] = (score, MAJORITY + score, 1, SCORE)
    elif UNIGRAM in run.metrics:
        found[f"the unigram entropy less {NATS:g}"] = (LOSS, UNIGRAM, -1, NATS)
    return found | {f"the least that counts, of {metric},": (metric, None, 1, value) for metric, value in least.items()}


def own_score(run: Result) -> str | None:
    """The metric of a fine-tuning on its own test set, as "test/accuracy"; None where there is none."""
    scores = (key.removeprefix(MAJORITY) for key in run.metrics if key.startswith(MAJORITY + OWN_TEST))
    return next(scores, None)


def _mean(runs: Sequence[Result], metric: str) -> float:
    return mean_and_sd([run.value(metric) for run in runs])[0]
