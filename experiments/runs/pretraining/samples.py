"""`samples.txt`: what the model wrote as it learned.

An entry is a heading and a text. The heading counts the text's characters, so that a text may hold anything, also
lines that look like headings:
```
=== step 400, 25,600 tokens, 12 characters ===
to be or not

```
A heading without the count is of an older version: its text goes on to the next heading.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from gpt_jax.disk import write_atomically

HEADING = re.compile(r"=== step ([\d,]+), ([\d,]+) tokens(?:, ([\d,]+) characters)? ===\n")
OLD_HEADING = re.compile(r"^=== step [\d,]+, [\d,]+ tokens ===\n", re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """What the model wrote after `step`; `source` is the whole entry as the file holds it."""

    step: int
    text: str
    source: str


def read_samples(path: Path) -> list[Sample]:
    """The samples in a file, up to the first that is not whole; none if there is no file."""
    content = path.read_bytes().decode("utf-8", errors="replace") if path.exists() else ""
    found, position = [], 0
    while heading := HEADING.match(content, position):
        start = heading.end()
        if heading[3] is not None:
            stop = start + _number(heading[3])
            end = stop + 2
            if content[stop:end] != "\n\n":
                break
        else:
            following = OLD_HEADING.search(content, start)
            end = following.start() if following else len(content)
            stop = end - 2 if content.endswith("\n\n", start, end) else end
        found.append(Sample(_number(heading[1]), content[start:stop], content[position:end]))
        position = end
    return found


class Samples:
    """`samples.txt`, opened to go on after `step`. Later samples in the file are dropped."""

    def __init__(self, path: Path, step: int):
        self._path = path
        kept = [sample.source for sample in read_samples(path) if sample.step <= step]
        write_atomically(path, "".join(kept))

    def write(self, step: int, tokens: int, text: str) -> None:
        """Adds a sample, which is on disk when this returns."""
        entry = f"=== step {step}, {tokens} tokens, {len(text)} characters ===\n{text}\n\n"
        with self._path.open("ab") as file:
            file.write(entry.encode())
            file.flush()
            os.fsync(file.fileno())


def _number(text: str) -> int:
    return int(text.replace(",", ""))
