"""Where the time of recorded steps went, by kind of work, out of a profile and the compiled program's text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRODUCTS, ATTENTION, MEMORY, COLLECTIVES = "products", "attention", "memory-bound", "collectives"
OTHER, IDLE = "other", "idle"
KINDS = (PRODUCTS, ATTENTION, MEMORY, COLLECTIVES, OTHER, IDLE)
WINDOW = "recorded steps"  # the annotation around them

INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = .*?\s([a-z][\w\-]*)\(")
HEADER = re.compile(r"(?:ENTRY )?%?([\w.\-]+) .*\{$")
COLLECTIVE = re.compile(r"all-reduce|all-gather|reduce-scatter|all-to-all|collective-|nccl|ragged-all-to-all", re.I)
PRODUCT = re.compile(r"\bdot\b|^dot[._]|convolution|gemm|matmul|cutlass|nvjet", re.I)
SCOPE = re.compile(r"/attention/(?!qkv/|out/)")  # inside SelfAttention, but for its projections
MOVING = re.compile(
    r"fusion|copy|transpose|broadcast|reduce|gather|scatter|slice|concatenate|convert|select|add|multiply|wrapped|pad|"
    r"iota|memcpy|memset|bitcast|reverse|sort|compare|divide|subtract|exponential|rng|dynamic-update|transfer",
    re.I,
)
CONTAINERS = ("while", "conditional", "call")  # what they hold is recorded too


@dataclass(frozen=True)
class Breakdown:
    """`seconds` of each of `KINDS`, a mean over devices; they add up to the time between the first step and the last.

    Where several operations ran at once, each has its part of that time.
    """

    seconds: Mapping[str, float]

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    def shares(self) -> dict[str, float]:
        return {kind: self.seconds[kind] / self.total for kind in KINDS}


def kinds_of(program: str) -> dict[str, str | None]:
    """The kind of every instruction in a compiled program's text; None for one that only holds others."""
    bodies: dict[str, list[str]] = {}
    body: list[str] = []
    for line in program.splitlines():
        if header := HEADER.match(line):
            body = bodies.setdefault(header[1], [])
        elif INSTRUCTION.match(line):
            body.append(line)
    found = {}
    for lines in bodies.values():
        for line in lines:
            name, opcode = INSTRUCTION.match(line).groups()  # type: ignore[union-attr]
            found[name] = None if opcode in CONTAINERS else _kind(line, opcode, bodies)
    return found


def _kind(line: str, opcode: str, bodies: Mapping[str, list[str]]) -> str:
    called = re.search(r"calls=%?([\w.\-]+)", line)
    inner = [(text, INSTRUCTION.match(text)[2]) for text in bodies.get(called[1], ())] if called else []  # type: ignore
    target = re.search(r'custom_call_target="([^"]*)"', line)
    if any(COLLECTIVE.match(code) for code in (opcode, *(code for _, code in inner))):
        return COLLECTIVES
    products = [text for text, code in [(line, opcode), *inner] if code in ("dot", "convolution")]
    if any(SCOPE.search(_scope(text)) for text in products or [line]):
        return ATTENTION
    if products or (target and PRODUCT.search(target[1])):
        return PRODUCTS
    return OTHER if opcode == "custom-call" else MEMORY


def _scope(line: str) -> str:
    found = re.search(r'op_name="([^"]*)"', line)
    return found[1] if found else ""


def kind_by_name(name: str) -> str:
    """The kind of an operation of which only the name is known: of another program, or a GPU's kernel."""
    for pattern, kind in ((COLLECTIVE, COLLECTIVES), (PRODUCT, PRODUCTS), (MOVING, MEMORY)):
        if pattern.search(name):
            return kind
    return OTHER


def read_breakdown(path: Path, program: str) -> Breakdown:
    """The breakdown of a recorded `.xplane.pb`; `program` is the text of the compiled step.

    Raises:
      ValueError: no recorded steps in the file, or a device that recorded no operation.
    """
    from jax.profiler import ProfileData

    planes = list(ProfileData.from_file(str(path)).planes)
    window = next(
        ((e.start_ns, e.end_ns) for p in planes for line in p.lines for e in line.events if e.name == WINDOW), None
    )
    if window is None:
        raise ValueError(f"{path}: holds no recorded steps")
    module, kinds = program.split(",", 1)[0].removeprefix("HloModule ").strip(), kinds_of(program)
    devices = [p for p in planes if p.name.startswith("/device:") and any(True for _ in p.lines)]
    devices = [p for p in devices if "CUSTOM" not in p.name] or [p for p in planes if p.name == "/host:CPU"]
    found = [divided(list(_operations(plane, module, kinds)), *window) for plane in devices]
    if not any(seconds[kind] for seconds in found for kind in KINDS if kind != IDLE):
        raise ValueError(f"{path}: no operation of a device is recorded")
    return Breakdown({kind: sum(seconds[kind] for seconds in found) / len(found) for kind in KINDS})


def _operations(plane: Any, module: str, kinds: Mapping[str, str | None]) -> Iterable[tuple[float, float, str | None]]:
    """(start, end, kind) of every operation, in nanoseconds."""
    lines, host = list(plane.lines), plane.name == "/host:CPU"
    chosen = [line for line in lines if line.name == "XLA Ops"]  # a TPU's
    chosen = chosen or [line for line in lines if host or line.name.startswith("Stream")]
    for line in chosen:
        for event in line.events:
            stats = dict(event.stats)
            operation = stats.get("hlo_op")
            if host and operation is None:
                continue
            name = str(operation or event.name.partition(" = ")[0].removeprefix("%"))
            ours = stats.get("hlo_module", module) == module and name in kinds
            yield event.start_ns, event.end_ns, kinds[name] if ours else kind_by_name(name)


def divided(operations: Iterable[tuple[float, float, str | None]], start: float, stop: float) -> dict[str, float]:
    """Seconds of each kind between two times in nanoseconds. Each instant is divided among what runs then.

    An operation that only holds others (None) counts as other, where nothing else runs.
    """
    changes: list[tuple[float, int, str | None]] = []
    for begin, end, kind in operations:
        begin, end = max(begin, start), min(end, stop)
        if begin < end:
            changes += [(begin, 1, kind), (end, -1, kind)]
    changes.sort(key=lambda change: change[0])
    seconds: dict[str, float] = {kind: 0.0 for kind in KINDS}
    running, now = Counter[str | None](), start
    for moment, change, kind in [*changes, (stop, 0, None)]:
        leaves = {k: n for k, n in running.items() if n and k is not None}
        shared = leaves or ({OTHER: 1} if running[None] else {IDLE: 1})
        for k, n in shared.items():
            seconds[k] += (moment - now) * n / sum(shared.values()) / 1e9
        running[kind] += change
        now = moment
    return seconds
