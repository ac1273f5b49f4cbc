"""What an experiment is: a claim, the arms that test it, and the direction stated before any run.

A new experiment is one small file in claims/ that defines `EXPERIMENT`; its docstring is the claim. Nothing in such
a file may import JAX at the top, so that `list` stays quick: `evaluate` imports what it needs.
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from experiments.sweep import checked
from gpt_jax.config import RunConfig, override
from gpt_jax.errors import InputError, unknown

CLAIMS = Path(__file__).parent / "claims"
SMOKE = "smoke"  # the scale that only shows that everything runs: it gives no verdicts
FAILED = "failed"  # the metric of a comparison of failure rates
TRAIN = "train"  # the same for recipes: DIR/train/RECIPE/seed-N
FINETUNE = "finetune"  # stands for the experiment's name in the folders of `finetune`: DIR/finetune/TASK/seed-N


@dataclass(frozen=True)
class RunIdentity:
    """Which run of which experiment this is."""

    experiment: str
    arm: str
    seed: int
    scale: str


@dataclass(frozen=True)
class Start:
    """The model that an arm of a claim at a scale leaves, which a fine-tuning of another claim starts from."""

    claim: str
    arm: str
    scale: str = "cpu"
    seed: int = 0

    @property
    def folder(self) -> str:
        """Where the runs that start from it look for it, in the current folder."""
        return f"runs/{self.claim}/{self.arm}/seed-{self.seed}"

    def __str__(self) -> str:
        return " ".join((self.claim, self.arm, *([f"seed {self.seed}"] if self.seed else [])))


@dataclass(frozen=True)
class FinishedRun:
    """What `Experiment.evaluate` is given at the end of a run."""

    identity: RunIdentity
    config: RunConfig
    params: Any  # the last parameters
    corpus: Any  # gpt_jax.data.prepare.Corpus
    data_dir: Path | None = None
    folder: Path | None = None  # the run's own, with the checkpoints that are kept


@dataclass(frozen=True)
class Scale:
    """One size of an experiment: overrides of the base, the seeds, and the arms (none: all of them).

    The seeds are the first stage. `run --to-decide` adds as many as the first stage's spread asks for, at most to
    `most_seeds` in all. `fixed` are the seeds of a claim whose number was fixed before any of them was run, where that
    is more than `run` makes unless it is asked to: they are one stage. `needs` are the starts that runs of this scale
    may be fine-tuned from: `run` says which of them are missing, and --with-needs makes them.
    """

    overrides: Mapping[str, Any]
    seeds: tuple[int, ...] = (0,)
    arms: tuple[str, ...] | None = None
    most_seeds: int = 20
    needs: tuple[Start, ...] = ()
    fixed: tuple[int, ...] = ()

    @property
    def one_stage(self) -> tuple[int, ...]:
        """The seeds that an interval takes as one stage."""
        return self.fixed or self.seeds

    @property
    def run_options(self) -> tuple[str, ...]:
        """The words by which `run` makes all that counts."""
        return ("--seeds", f"{self.fixed[0]}:{self.fixed[-1] + 1}") if self.fixed else ()

    def further_seeds(self, count: int, apart_from: frozenset[int] = frozenset()) -> tuple[int, ...]:
        """The seeds of a second stage with `count` more seeds than the first, as far as `most_seeds` lets it."""
        later = (seed for seed in itertools.count(max(self.seeds, default=-1) + 1) if seed not in apart_from)
        return tuple(itertools.islice(later, max(0, min(count, self.most_seeds - len(self.seeds)))))


@dataclass(frozen=True)
class Comparison:
    """`treatment - control` in `metric`, seed by seed, and what was stated about it before the runs.

    Tuples of arms are sweeps. The best arm of each sweep is compared: fewest failures, then the mean that is `best`.
    Each seed is scored with the arm that the other seeds choose. With the metric `FAILED`, the failures of all their
    runs are compared. `margin` is the smallest difference that counts (for "equal": the largest that does not), in the
    metric's unit. A primary comparison carries the claim, and states a margin; the others explain it. An empty control
    () compares with 0. That suits a metric that is itself a difference, such as a gap. `sensitivity`, for "equal", is
    the title of a comparison of a known difference. An experiment that finds nothing shows that there is nothing only
    if it tells the known difference apart. `fresh` are, by scale, the seeds that alone count for this comparison where
    the scale's own had left it undecided, and are pilots for it. Their number was fixed before any of them was run, and
    they count for no other comparison.
    """

    treatment: str | tuple[str, ...]
    control: str | tuple[str, ...]
    expected: Literal["lower", "higher", "equal"]
    metric: str = "validation/bits_per_byte"
    margin: float = 0.0
    name: str = ""
    primary: bool = True
    against: str = ""  # the control's metric where it is another: a baseline that the same runs measure
    with_failed: bool = False  # the metric does not depend on training: runs that failed count too
    sensitivity: str = ""
    best: Literal["lowest", "highest"] = "lowest"  # the mean by which a sweep's arm is chosen: of a loss, the lowest
    fresh: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)

    @property
    def treatments(self) -> tuple[str, ...]:
        return (self.treatment,) if isinstance(self.treatment, str) else self.treatment

    @property
    def controls(self) -> tuple[str, ...]:
        return (self.control,) if isinstance(self.control, str) else self.control

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.treatments, *self.controls)))

    @property
    def title(self) -> str:
        return self.name or " - ".join(" / ".join(arms) for arms in (self.treatments, self.controls) if arms)

    @property
    def stated(self) -> str:
        """The direction in words, for example "lower, by at least 0.01"."""
        if self.expected == "equal":
            return f"within ±{self.margin:g}"
        return self.expected + (f", by at least {self.margin:g}" if self.margin else "")


@dataclass(frozen=True)
class Experiment:
    """A claim and how it is measured. `name` and `claim` come from the file: its stem and its docstring."""

    source: str  # paper, section or table
    base: RunConfig
    arms: Mapping[str, Mapping[str, Any]]
    scales: Mapping[str, Scale]
    comparisons: tuple[Comparison, ...] = ()
    metrics: tuple[str, ...] = ("validation/bits_per_byte", "validation/loss", "train/loss")
    # Metrics that are lists, drawn as curves, with the name of their horizontal axis.
    profiles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # Two arms of one config at other seeds: what the seeds alone do.
    noise_floor: tuple[str, str] | None = None
    divergence_is_outcome: bool = False
    # A final validation loss above the unigram entropy less this (nats/token) is a failure; none: no such rule.
    plateau: float | None = None
    # A run is evidence only with at least these values of these metrics, besides being better than chance.
    learned: Mapping[str, float] = dataclasses.field(default_factory=dict)
    # One or two sentences: what the source found, with its figures, or that it gives none.
    paper: str = ""
    evaluate: Callable[[FinishedRun], dict[str, float | list[float]]] | None = None
    picture: Callable[[Path], None] | None = None  # draws what `show` shows, as PNG
    # Lines of text on all of a report's results, beyond comparisons: what is fitted to them. Raises `InputError` where
    # there are too few.
    findings: Callable[[Sequence[Any]], list[str]] | None = None
    data: str = ""  # the set of `data get` that is read where no --data-dir is given
    tests: tuple[str, ...] = ()  # the sets of `data get` that `evaluate` reads above smoke scale, wherever the data is
    name: str = ""
    claim: str = ""

    def __post_init__(self):
        checked(self.arms)
        for comparison in self.comparisons:
            if (comparison.primary or comparison.expected == "equal") and not 0 < comparison.margin < math.inf:
                raise InputError(
                    f"margin of {comparison.title!r}: {comparison.margin:g} is not allowed: above 0, the smallest "
                    'difference that counts (for "equal": the largest that does not), in the unit of the metric'
                )
            if comparison.margin < 0:
                raise InputError(f"margin of {comparison.title!r}: {comparison.margin:g} is not allowed: 0 or more")
            known = [c.title for c in self.comparisons if c.expected != "equal"]
            if comparison.sensitivity and comparison.sensitivity not in known:
                raise unknown(f"sensitivity of {comparison.title!r}", comparison.sensitivity, known)
            if comparison.metric == FAILED and not comparison.controls:
                raise InputError(f"control of {comparison.title!r}: () is not allowed for failure rates: an arm is")
        for name, seeds in ((n, s) for c in self.comparisons for n, s in c.fresh.items()):
            if set(seeds) & set(self.scale(name).one_stage):
                raise InputError(f"fresh seeds of {self.name} at {name}: those of the scale are not allowed: {seeds}")
        named = [arm for c in self.comparisons for arm in c.arms]
        named += [*(self.noise_floor or ()), *(arm for s in self.scales.values() for arm in s.arms or ())]
        for arm in named:
            if arm not in self.arms:
                raise unknown("arm", arm, self.arms)

    @property
    def summary(self) -> str:
        """The docstring's first line."""
        return self.claim.strip().partition("\n")[0]

    @property
    def arm_keys(self) -> tuple[str, ...]:
        """The keys the arms differ in."""
        return tuple(dict.fromkeys(key for overrides in self.arms.values() for key in overrides))

    def scale(self, name: str) -> Scale:
        """The scale of that name. Raises `InputError`."""
        if name not in self.scales:
            raise unknown("scale", name, self.scales)
        return self.scales[name]

    def select(self, scale: str, only: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The arms that run: those named, or the scale's own. Raises `InputError`."""
        for arm in only:
            if arm not in self.arms:
                raise unknown("arm", arm, self.arms)
        chosen = only or self.scale(scale).arms or tuple(self.arms)
        return tuple(arm for arm in self.arms if arm in chosen)

    def comparisons_at(self, scale: str, arms: Iterable[str] = ()) -> tuple[Comparison, ...]:
        """The comparisons that belong to a scale: those whose arms it trains, or are among `arms`, which were run.

        Of a sweep, one arm is enough. A scale that the claim no longer has takes all of them.
        """
        own = self.scales[scale].arms if scale in self.scales else None
        there = {*(own or self.arms), *arms}
        sides = lambda c: (side for side in (c.treatments, c.controls) if side)  # noqa: E731
        return tuple(c for c in self.comparisons if all(there.intersection(side) for side in sides(c)))

    def fresh_seeds(self, scale: str) -> frozenset[int]:
        """The seeds that count at that scale for one comparison alone."""
        return frozenset(seed for c in self.comparisons for seed in c.fresh.get(scale, ()))

    def fresh_runs(self, scale: str) -> dict[tuple[str, ...], tuple[str, ...]]:
        """The words by which `run` makes the fresh seeds of a scale, and the titles of the comparisons they are for."""
        found: dict[tuple[str, ...], tuple[str, ...]] = {}
        for comparison in self.comparisons:
            if seeds := comparison.fresh.get(scale):
                only = (word for arm in comparison.arms for word in ("--only", arm))
                words = ("--seeds", f"{seeds[0]}:{seeds[-1] + 1}", *only)
                found[words] = (*found.get(words, ()), comparison.title)
        return found

    def config(self, arm: str, scale: str, seed: int, changes: Mapping[str, Any] | None = None) -> RunConfig:
        """The whole config of one run: base, scale, `changes` by the user, seed, arm. Raises `InputError`.

        A change to what the arms differ in is refused, as the arm's name would no longer say what it is, unless every
        arm that sets the key makes its value from the base's, and so follows the change.
        """
        changes = changes or {}
        for key in changes:
            if key == "training.seed":
                raise InputError(f"{key}: {changes[key]!r} is not allowed here: give the seeds by --seeds")
            if any(key in arm and not callable(arm[key]) for arm in self.arms.values()):
                raise InputError(
                    f"{key}: {changes[key]!r} is not allowed: the arms of {self.name} differ in it; choose by --only"
                )
        if arm not in self.arms:
            raise unknown("arm", arm, self.arms)
        base = override(self.base, {**self.scale(scale).overrides, **changes, "training.seed": seed})
        return override(base, {key: v(base) if callable(v) else v for key, v in self.arms[arm].items()})

    def runs(
        self, scale: str, arms: Sequence[str], seeds: Sequence[int], changes: Mapping[str, Any] | None = None
    ) -> dict[tuple[str, int], RunConfig]:
        """The config of every run by arm and seed, seed by seed, so that a broken-off sweep leaves whole pairs."""
        return {(arm, seed): self.config(arm, scale, seed, changes) for seed in seeds for arm in arms}


def names() -> tuple[str, ...]:
    """The experiments there are: the files of claims/. Imports none of them."""
    return tuple(sorted(path.stem for path in CLAIMS.glob("*.py") if path.stem != "__init__"))


def load(name: str) -> Experiment:
    """The experiment in `experiments/claims/NAME.py`. Raises `InputError` where there is none."""
    if name not in names():
        raise unknown("experiment", name, names())
    module = import_module(f"experiments.claims.{name}")
    return dataclasses.replace(module.EXPERIMENT, name=name, claim=_docstring(CLAIMS / f"{name}.py"))


def _docstring(path: Path) -> str:
    """What a module says it is, from its source: `python -OO` takes the docstrings out of what it runs."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=False) or ""
