"""A run and a second run of it, number by number: bit for bit where both were made alike, else within a tolerance.

Alike are two runs with the same versions, kind of device, processor, cores and settings. Elsewhere sums are added in
another order, and float32 rounds them otherwise. Of two runs of 480 steps on one core and on two, the losses differed
by at most 3e-6 of their values (docs/EVIDENCE.md); other processors and devices were not compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from experiments.published.line import CLOCKS, Published
from gpt_jax.config import flatten

TOLERANCE = 0.005  # of a value, or this much of a value below 1
# What of an environment decides no number: the operating system, where things are kept, and how much memory is taken.
INDIFFERENT = ("platform", "chips", "cores", "variables.XLA_PYTHON_CLIENT_", "packages.gpt-jax")
DIGESTS = ("config_digest", "data_digest", "log_digest", "parameters_digest")


@dataclass(frozen=True)
class Compared:
    """`first` is the first logged figure that differs, `metrics` those of the results, `digests` the digests that do.

    `differs` says in which of what decides bits the two environments differ, and `unknown` what the first run did not
    keep. `largest` is the largest difference as a part of its value (of 1, where the value is smaller).
    """

    figures: int
    first: str
    metrics: tuple[str, ...]
    digests: tuple[str, ...]
    differs: tuple[str, ...]
    unknown: tuple[str, ...]
    largest: float

    @property
    def equal(self) -> bool:
        return not (self.first or self.metrics or self.digests)

    @property
    def holds(self) -> bool:
        """Equal, or made otherwise and within the tolerance."""
        return self.equal or (bool(self.differs or self.unknown) and self.largest <= TOLERANCE)

    def __str__(self) -> str:
        lines = [f"made otherwise: {one}" for one in self.differs]
        if self.unknown:
            lines.append(f"the first run did not keep: {', '.join(self.unknown)}")
        if self.equal:
            return "\n".join([*lines, f"equal, bit for bit: {self.figures:,} figures"])
        lines += [f"first difference in the log: {self.first}"] if self.first else []
        lines += [f"result: {one}" for one in self.metrics]
        lines += [f"{one} differs" for one in self.digests]
        within = "within" if self.largest <= TOLERANCE else "beyond"
        alike = "" if self.differs or self.unknown else "; but both were made alike, which asks for equal bits"
        lines.append(f"largest difference: {self.largest:.2g} of the value, {within} {TOLERANCE:g}{alike}")
        return "\n".join(lines)


def compare(was: Published, now: Published, steps: int | None = None) -> Compared:
    """Compares a run with a second one, whose curves have every point; with `steps`, the log up to that step alone."""
    logged = sorted(_logged(was, now, steps), key=lambda one: one[0])
    results = list(_results(was, now)) if steps is None else []
    figures = [*((ours, theirs) for _, _, ours, theirs in logged), *((ours, theirs) for _, ours, theirs in results)]
    apart = [f"step {step:,}: {_shown(name, a, b)}" for step, name, a, b in logged if a != b]
    digests = [name for name in DIGESTS if steps is None and _known_to_differ(getattr(was, name), getattr(now, name))]
    differs, unknown = environments(was, now)
    return Compared(
        len(figures),
        apart[0] if apart else "",
        tuple(_shown(name, ours, theirs) for name, ours, theirs in results if ours != theirs),
        tuple(digests),
        tuple(differs),
        tuple(unknown),
        max((_apart(ours, theirs) for ours, theirs in figures), default=0.0),
    )


def environments(was: Published, now: Published) -> tuple[list[str], list[str]]:
    """In what of that which decides bits two runs differ, in words; and what the first one did not keep."""
    first, second = _deciding(was), _deciding(now)
    unknown = [key for key, value in second.items() if value is not None and first.get(key) is None]
    differs = [
        f"{key} is {second.get(key)!r}, was {value!r}"
        for key, value in first.items()
        if value is not None and second.get(key) != value
    ]
    kept = {key.partition(".")[0] for key in first}
    return differs, sorted({key if key.partition(".")[0] in kept else key.partition(".")[0] for key in unknown})


def _deciding(run: Published) -> dict[str, Any]:
    settings = flatten(run.environment)
    kept = {k: v for k, v in settings.items() if not k.startswith(INDIFFERENT) and "cache" not in k}
    kept["devices"] = sorted(set(run.environment.get("devices", [])))
    cores = [session.get("cores") for session in run.how]
    return {**kept, "cores": cores[0] if len(cores) == 1 else (cores or None)}


def _logged(was: Published, now: Published, steps: int | None) -> Iterator[tuple[int, str, Any, Any]]:
    for metric, columns in was.curves.items():
        again = now.curves.get(metric, {"step": [], "value": []})
        found = dict(zip(again["step"], again["value"], strict=True))
        for step, value in zip(columns["step"], columns["value"], strict=True):
            if steps is None or step <= steps:
                yield step, metric, value, found.get(step)


def _results(was: Published, now: Published) -> Iterator[tuple[str, Any, Any]]:
    for name, value in was.metrics.items():
        if not name.startswith(CLOCKS):
            yield name, value, now.metrics.get(name)


def _known_to_differ(ours: str | None, theirs: str | None) -> bool:
    return ours is not None and ours != theirs


def _apart(ours: Any, theirs: Any) -> float:
    """How far two figures, or lists of them, are apart, as a part of the first (of 1, where it is smaller)."""
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return max((_apart(a, b) for a, b in zip(ours, theirs, strict=True)), default=0.0)
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return abs(ours - theirs) / max(abs(ours), 1.0)
    return 0.0 if ours == theirs else float("inf")


def _shown(name: str, ours: Any, theirs: Any) -> str:
    return f"{name} is {theirs!r}, was {ours!r}"
