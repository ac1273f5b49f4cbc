"""What a compiled program sends between devices, read from its text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "f64": 8, "s64": 8, "u64": 8}  # else 4
KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")


@dataclass(frozen=True)
class Collective:
    """One instruction: `bytes` of its result on a device, among `group` devices, run `times` in a step."""

    kind: str
    bytes: int
    group: int
    times: int

    @property
    def sent(self) -> float:
        """Bytes that a device sends in a step, around a ring: the least that the kind needs."""
        once = {
            "all-gather": self.bytes * (self.group - 1) / self.group,
            "all-reduce": 2 * self.bytes * (self.group - 1) / self.group,
            "reduce-scatter": self.bytes * (self.group - 1),
            "all-to-all": self.bytes * (self.group - 1) / self.group,
            "collective-permute": self.bytes,
        }[self.kind]
        return once * self.times


def collectives(hlo: str) -> list[Collective]:
    """The collectives of a compiled module's text (`compiled.as_text()`), those in loops with their trip counts.

    An instruction that the compiler spread over several fusions, or over an inner loop, has one channel and counts
    once, where it runs least. A loop runs from 0
    to the constant in its condition, by what its body adds to the counter.
    """
    bodies = dict(_computations(hlo))
    times = _times(bodies)
    found: dict[str, Collective] = {}
    for name, lines in bodies.items():
        for line in lines:
            match = re.search(rf"= (.*?) ({'|'.join(KINDS)})(-start)?\(", line)
            if match is None:
                continue
            kind, shapes = match[2], [_bytes(*shape) for shape in re.findall(r"(\w+)\[([\d,]*)\]", match[1])]
            size = max(shapes) if match[3] else sum(shapes)
            group = _group(line)
            if kind == "all-reduce" and "all-reduce-scatter" in name:  # fused with the slice of its result
                kind, size = "reduce-scatter", size // group
            channel = re.search(r"channel_id=(\d+)", line)
            one = Collective(kind, size, group, times.get(name, 1))
            key = channel[1] if channel else f"{name} {line}"
            if key not in found or one.times < found[key].times:
                found[key] = one
    return list(found.values())


def by_kind(found: list[Collective]) -> dict[str, tuple[int, float]]:
    """Kind -> how many run in a step, and the bytes a device sends for them."""
    return {
        kind: (sum(c.times for c in found if c.kind == kind), sum(c.sent for c in found if c.kind == kind))
        for kind in KINDS
        if any(c.kind == kind for c in found)
    }


def _computations(hlo: str) -> Iterator[tuple[str, list[str]]]:
    """Name and lines of each computation; the entry is called "ENTRY"."""
    name, lines = None, []
    for line in hlo.splitlines():
        start = re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line)
        if start:
            name, lines = "ENTRY" if start[1] else start[2], []
        elif line == "}" and name is not None:
            yield name, lines
            name = None
        elif name is not None:
            lines.append(line)


def _times(bodies: dict[str, list[str]]) -> dict[str, int]:
    """How often each computation runs in a step."""
    times: dict[str, int] = {}

    def visit(name: str, count: int) -> None:
        if name not in bodies or times.get(name, 0) >= count:
            return
        times[name] = count
        for line in bodies[name]:
            loop = re.search(r"condition=%?([\w.\-]+), body=%?([\w.\-]+)", line)
            if loop:
                stated = re.search(r'known_trip_count":\{"n":"(\d+)"', line)
                visit(
                    loop[2],
                    count * (int(stated[1]) if stated else _trips(bodies.get(loop[1], []), bodies.get(loop[2], []))),
                )
            else:
                called = re.findall(r"(?:calls|to_apply|async_execution_thread)=%?([\w.\-]+)", line)
                called += re.findall(r"%([\w.\-]+)", "".join(re.findall(r"branch_computations=\{([^}]*)\}", line)))
                for other in called:
                    visit(other, count)

    visit("ENTRY", 1)
    return times


def _trips(condition: list[str], body: list[str]) -> int:
    """The bound that a loop's condition compares its counter with, over the counter's step."""
    bound = max((n for line in condition if (n := _constant(line)) is not None), default=1)
    counter = re.search(r"[su]32\[\]\S* get-tuple-element\(.*index=(\d+)", "\n".join(condition))
    root = next((line for line in body if line.lstrip().startswith("ROOT") and " tuple(" in line), "")
    results = re.findall(r"%([\w.\-]+)", root.partition(" tuple(")[2])
    if counter is None or int(counter[1]) >= len(results):
        return bound or 1
    add = next((line for line in body if f"%{results[int(counter[1])]} = " in line and " add(" in line), "")
    added = set(re.findall(r"%([\w.\-]+)", add.partition(" add(")[2].partition(")")[0]))
    steps = [n for line in body if (n := _constant(line)) and re.match(r"\s*%([\w.\-]+) = ", line)[1] in added]  # type: ignore[index]
    return max(1, bound // (steps[0] if steps else 1))


def _constant(line: str) -> int | None:
    """The value of a line that defines a whole number."""
    found = re.search(r"= [su]32\[\](?:\{[^}]*\})? constant\((\d+)\)", line)
    return int(found[1]) if found else None


def _bytes(kind: str, dimensions: str) -> int:
    return math.prod(int(n) for n in dimensions.split(",") if n) * BYTES.get(kind, 4)


def _group(line: str) -> int:
    """Devices that take part: from `{{0,1},{2,3}}`, `[groups,size]<=[...]`, or named axes of a mesh."""
    if iota := re.search(r"replica_groups=\[(\d+),(\d+)\]", line):
        return int(iota[2])
    if mesh := re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", line):
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", mesh[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'([^']+)'", mesh[2]))
    if groups := re.search(r"replica_groups=\{\{([\d,]+)\}", line):
        return groups[1].count(",") + 1
    return 2  # a permutation: its group does not matter
