"""One run: a config and a folder in, a trained model, its pictures and `result.json` out.

Everything a run writes is in its folder, and `result.json` last: a folder without one is partial and is resumed,
a folder with one is finished and is skipped, and a folder of another config is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from experiments.verdicts import plots
from experiments.runs.full_disk import named_when_full
from experiments.runs.environment import environment
from experiments.experiment import FinishedRun, RunIdentity
from experiments.runs.screen import Screen
from experiments.runs.session import Interrupted, Session
from gpt_jax.config import RunConfig, differences, digest, to_dict
from gpt_jax.disk import keep_compiled_programs, write_atomically
from gpt_jax.data.prepare import Corpus, prepare
from gpt_jax.errors import InputError
from gpt_jax.loading import read_run
from gpt_jax.parallel.hosts import is_writer

Metrics = dict[str, Any]
BITS = "validation/bits_per_byte"
__all__ = ["Interrupted", "RunIdentity", "read_folder", "run"]


def run(
    config: RunConfig,
    folder: Path,
    identity: RunIdentity,
    *,
    data_dir: Path | None = None,
    console: Console | None = None,
    divergence_is_outcome: bool = False,
    evaluate: Callable[[FinishedRun], Metrics] | None = None,
    resume_command: str = "",
    should_stop: Callable[[], bool] = lambda: False,
) -> Metrics:
    """Trains as `config` says and returns what `result.json` holds; at once if it is already there.

    Continues from the newest readable checkpoint. Raises `InputError` (another config's folder, bad data),
    `TrainingDiverged` (unless that is an outcome), `DiskFull`, and `Interrupted` once `should_stop()`.
    """
    screen = Screen(console)
    with named_when_full(folder):
        finished = result_of(folder, config)
        if finished is not None:
            screen.say(f"{folder} is finished: nothing to do")
            return finished
        keep_compiled_programs()
        if config.finetuning.task is not None:
            return _finetune(config, folder, identity, data_dir, screen, divergence_is_outcome, should_stop)
        alone = jax.process_count() == 1  # several processes stop together, where training would begin
        corpus = prepare_corpus(config, data_dir, screen, partial(_stop_here, folder, should_stop) if alone else None)
        if is_writer():
            claim(folder, config, identity)
        session = Session(config, folder, corpus, screen)
        metrics = session.train(should_stop, divergence_is_outcome)
        if not metrics["diverged"] and evaluate is not None:
            with screen.waiting("measuring"):
                metrics |= evaluate(FinishedRun(identity, config, session.params, corpus, data_dir))
        result = {
            **vars(identity), "metrics": metrics, "config_digest": digest(config), "data_digest": corpus.digest,
        }  # fmt: skip
        if is_writer():
            plots.loss_curve(folder / "metrics.jsonl", folder / "loss.png")
            write_atomically(folder / "result.json", json.dumps(result, indent=2) + "\n")
        screen.table("result", summary(metrics, folder, resume_command))
        return result


def _finetune(
    config: RunConfig, folder: Path, identity: RunIdentity, data_dir: Path | None, screen: Screen,
    divergence_is_outcome: bool, should_stop: Callable[[], bool],
) -> Metrics:  # fmt: skip
    """The same for a run that fine-tunes: from its beginning, as it keeps no checkpoints."""
    from experiments.runs import finetuning_session as session

    with screen.waiting("reading the task and the weights"):
        materials = session.gather(config, data_dir)
    claim(folder, config, identity)
    metrics = session.finetune(config, materials, folder, screen, should_stop, divergence_is_outcome)
    plots.loss_curve(folder / "metrics.jsonl", folder / "loss.png")
    result = {
        **vars(identity), "metrics": metrics, "config_digest": digest(config), "data_digest": materials.digest,
    }  # fmt: skip
    write_atomically(folder / "result.json", json.dumps(result, indent=2) + "\n")
    screen.table("result", session.summary(metrics, folder))
    return result


def _stop_here(folder: Path, should_stop: Callable[[], bool]) -> None:
    """Raises `Interrupted` once `should_stop()`; for where no step is being trained."""
    if should_stop():
        steps = [int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit()]
        raise Interrupted(max(steps, default=0))


def prepare_corpus(
    config: RunConfig, data_dir: Path | None, screen: Screen, check: Callable[[], None] | None = None
) -> Corpus:
    """The config's data as token windows, made now if it is not in the cache. `check` is called on the way."""
    with screen.stages() as show:

        def progress(stage: str, done: int, total: int | None) -> None:
            show(stage, done, total)
            if check is not None:
                check()

        corpus = prepare(
            config.data, vocab_size=config.model.vocab_size, context_length=config.model.context_length,
            data_dir=data_dir, progress=progress,
        )  # fmt: skip
    if corpus.tokenizer.vocab_size > config.model.vocab_size:
        raise InputError(
            f"model.vocab_size: {config.model.vocab_size} is not allowed: "
            f"at least the tokenizer's {corpus.tokenizer.vocab_size}"
        )
    return corpus


def result_of(folder: Path, config: RunConfig) -> Metrics | None:
    """The result of a finished run of `config`; None if the folder is new or the run is partial.

    Raises `InputError` with the differing keys if the folder belongs to another config.
    """
    if not (folder / "config.json").exists():
        return None
    changed = differences(read_folder(folder)[0], config)
    if changed:
        shown = ", ".join(f"{key} is {theirs!r}, not {ours!r}" for key, (theirs, ours) in changed.items())
        raise InputError(f"{folder} holds a run of another config: {shown}: choose another --out, or remove it")
    result = folder / "result.json"
    return json.loads(result.read_text(encoding="utf-8")) if result.exists() else None


def claim(folder: Path, config: RunConfig, identity: RunIdentity) -> None:
    """Writes what makes `folder` the run folder of `config`."""
    if (folder / "config.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "environment.json", json.dumps(environment(), indent=2) + "\n")
    content = {**to_dict(config), "digest": digest(config), "identity": vars(identity)}
    write_atomically(folder / "config.json", json.dumps(content, indent=2) + "\n")


def read_folder(folder: Path) -> tuple[RunConfig, RunIdentity]:
    """The config and identity of a run folder. Raises `InputError` if it is none, or is damaged."""
    config, identity = read_run(folder)
    try:
        return config, RunIdentity(**identity)
    except TypeError:
        raise InputError(f"{folder / 'config.json'} is damaged: it does not read as a run's config") from None


def summary(metrics: Metrics, folder: Path, resume_command: str) -> dict[str, str]:
    """What a finished run came to, and what to do with it."""
    if metrics["diverged"]:
        return {"outcome": f"diverged at step {metrics['diverged_at_step']:,}", "folder": str(folder)}
    samples = (folder / "samples.txt").read_text(encoding="utf-8").rpartition("===\n")[2].strip()
    return {
        "validation": f"{metrics[BITS]:.4f} bits/byte ({metrics['validation/loss']:.4f} nats/token)",
        "speed": f"{metrics['time/tokens_per_second']:,.0f} tokens/s; {metrics['time/seconds']:.0f} s in all",
        "last sample": samples,
        "pictures": str(folder / "loss.png"),
        "more text": f"python -m experiments sample {folder} --prompt 'ROMEO:'",
        "report": f"python -m experiments report {folder.parents[1]}",
        "again": f"{resume_command} (says that it is finished)" if resume_command else "",
    }
