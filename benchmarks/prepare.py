"""Preparation with GPT-2's encoding: ours beside the batch calls of tiktoken and `tokenizers`, on the same text.

"whole preparation" reads the files twice, divides them for validation, encodes them, and writes and hashes the shards.
The other candidates have the text in memory and only encode it: ours in blocks to arrays, as the preparation does, the
peers each document to a list, by their batch calls, and tiktoken also each document to an array. tiktoken runs with its
own pattern of GPT-2's words. Every candidate runs in a process of its own, kept to one core and then to two. Ratios are
medians over rounds, in which the candidates take turns.

    python benchmarks/prepare.py                      # the built-in plays, repeated to 80 MB, 3 rounds
    python benchmarks/prepare.py BOOKS --json FILE    # the .txt files of a folder; figures also as JSON
    python benchmarks/prepare.py --quick              # 1 MB, 1 round: does it run?
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from gpt_jax.config import DataConfig
from gpt_jax.data.plays import plain_text, play_files
from gpt_jax.data.prepare import prepare
from gpt_jax.data.stream import BLOCK
from gpt_jax.data.text import blocks
from gpt_jax.data.tokenizers import END_OF_TEXT
from gpt_jax.data.tokenizers.merging import merging_by_id
from gpt_jax.data.tokenizers.openai_bpe import FILE, packaged_gpt2
from gpt_jax.disk import parse_json
from gpt_jax.machine import generation, processor

WHOLE, ENCODER = "whole preparation", "encoder"
TIKTOKEN, ARRAYS, TOKENIZERS = "tiktoken", "tiktoken to arrays", "tokenizers"
PEERS = (TIKTOKEN, ARRAYS, TOKENIZERS)
CANDIDATES = (WHOLE, ENCODER, *PEERS)
VOCABULARY, CONTEXT = 50257, 1024


def write_plays(folder: Path, size: int) -> None:
    """The built-in plays as .txt files, again and again until they hold `size` bytes."""
    texts, written = [plain_text(file.read_text(encoding="utf-8")) for file in play_files()], 0
    while written < size:
        for text in texts:
            (folder / f"{written:012d}.txt").write_text(text, encoding="utf-8")
            written += len(text.encode())
            if written >= size:
                return


def made_ready(candidate: str, folder: Path, cache: Path, cores: int) -> Callable[[], object]:
    """What is timed of a candidate; what it needs beforehand is done here."""
    tokenizer = packaged_gpt2()
    if candidate == WHOLE:
        data = DataConfig(source="local", tokenizer="gpt2")
        return lambda: prepare(data, vocab_size=VOCABULARY, context_length=CONTEXT, data_dir=folder, cache_dir=cache)
    documents = [file.read_text(encoding="utf-8") for file in sorted(folder.rglob("*.txt"))]
    if candidate == ENCODER:
        tokenizer.encode("")  # builds what it encodes with
        pieces = [block for document in documents for block in blocks([document], BLOCK)]
        return lambda: tokenizer.encode_to_arrays(pieces)
    import tiktoken
    import tokenizers
    from tiktoken_ext.openai_public import r50k_pat_str

    tokenizer.save(cache)
    theirs: Any = tokenizers.Tokenizer.from_file(str(cache / FILE))
    if candidate == TOKENIZERS:
        return lambda: [row.ids for row in theirs.encode_batch_fast(documents, add_special_tokens=False)]
    ours = merging_by_id(theirs)
    encoding = tiktoken.Encoding(
        "gpt2",
        pat_str=r50k_pat_str,
        mergeable_ranks=ours._mergeable_ranks,
        special_tokens={END_OF_TEXT: tokenizer.vocab_size - 1},
    )
    if candidate == TIKTOKEN:
        return lambda: encoding.encode_ordinary_batch(documents, num_threads=cores)

    def to_arrays() -> list[Any]:
        with ThreadPoolExecutor(cores) as executor:
            return list(executor.map(lambda text: encoding.encode_to_numpy(text, disallowed_special=()), documents))

    return to_arrays


def measure(candidate: str, folder: Path, cores: int) -> dict[str, float]:
    """Seconds, seconds of processor time and peak memory (MiB) of one candidate in this process."""
    with tempfile.TemporaryDirectory() as cache:
        run = made_ready(candidate, folder, Path(cache), cores)
        started, worked = time.perf_counter(), time.process_time()
        run()
        seconds, processor_seconds = time.perf_counter() - started, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return {"seconds": seconds, "processor_seconds": processor_seconds, "peak_mib": peak}


def in_a_process(candidate: str, folder: Path, cores: int) -> dict[str, float]:
    """`measure` in a new process that may use so many cores."""
    command = [sys.executable, __file__, str(folder), "--measure", candidate, "--cores", str(cores)]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(cores), "TOKENIZERS_PARALLELISM": "true"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, encoding="utf-8")
    return parse_json(done.stdout, candidate)


Runs = dict[str, list[dict[str, float]]]  # by number of cores, a dictionary of `measure` each round


def summary(found: dict[str, Runs], name: str, size: float) -> dict[str, float]:
    """Of one candidate: MB/s and MB per second of processor time in its best rounds, the medians over rounds of two
    ratios, and the peak in MiB."""
    one, two = found[name]["1"], found[name]["2"]
    return {
        "MB/s on 1": size / min(run["seconds"] for run in one),
        "MB/s on 2": size / min(run["seconds"] for run in two),
        "MB/core-s": size / min(run["processor_seconds"] for run in one),
        "two cores / one": median(a["seconds"] / b["seconds"] for a, b in zip(one, two, strict=True)),
        "of the best peer": median(
            min(found[peer]["1"][n]["processor_seconds"] for peer in PEERS) / run["processor_seconds"]
            for n, run in enumerate(one)
        ),
        "peak MiB": max(run["peak_mib"] for run in one + two),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="of .txt files (default: the built-in plays, repeated)")
    parser.add_argument("--megabytes", type=float, default=80, help="of plays (default 80)")
    parser.add_argument("--rounds", type=int, default=3, help="timed passes of each (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go too")
    parser.add_argument("--quick", action="store_true", help="1 MB of plays, 1 round")
    parser.add_argument("--measure", choices=CANDIDATES, help=argparse.SUPPRESS)
    parser.add_argument("--cores", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
        print(json.dumps(measure(arguments.measure, arguments.folder, arguments.cores)))
        return
    rounds, megabytes = (1, 1) if arguments.quick else (arguments.rounds, arguments.megabytes)
    with tempfile.TemporaryDirectory() as plays:
        folder = arguments.folder or Path(plays)
        if arguments.folder is None:
            write_plays(folder, int(megabytes * 1e6))
        size = sum(file.stat().st_size for file in folder.rglob("*.txt")) / 1e6
        found: dict[str, Runs] = {name: {"1": [], "2": []} for name in CANDIDATES}
        for _ in range(rounds):
            for cores in ("1", "2"):
                for name in CANDIDATES:
                    found[name][cores].append(in_a_process(name, folder, int(cores)))
    figures = {name: summary(found, name, size) for name in CANDIDATES}
    print(f"{size:.1f} MB of text, {processor()} ({generation()}), {rounds} rounds\n")
    header = ("candidate", *next(iter(figures.values())))
    from machine import table

    print(table(header, [(name, *(f"{value:.2f}" for value in row.values())) for name, row in figures.items()]))
    if arguments.json:
        report = {"megabytes": size, "processor": processor(), "rounds": rounds, "figures": figures, "runs": found}
        arguments.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
