"""Pre-training as a kind of run: text in, a language model and its checkpoints out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.command import typed
from experiments.experiment import FinishedRun
from experiments.runs.kinds import Interrupted, Metrics, Run
from experiments.runs.preflight import check_room
from experiments.runs.pretraining.samples import read_samples
from experiments.runs.pretraining.session import Session, stopped
from gpt_jax.config import RunConfig
from gpt_jax.data.mixture import parse_sources
from gpt_jax.data.pipeline import validation_batches
from gpt_jax.data.prepare import Corpus, prepare
from gpt_jax.data.sources import open_source
from gpt_jax.data.tokenizers import Tokenizer, make_tokenizer
from gpt_jax.disk import cache_root, digest_of
from gpt_jax.errors import InputError
from gpt_jax.loading import checkpoint_steps, restore
from gpt_jax.parallel.hosts import is_writer
from gpt_jax.training.checkpoint import require_readable_name
from gpt_jax.training.plan import make_plan
from gpt_jax.training.state import state_shapes
from gpt_jax.training.trackers import check_installed

PROMPT_TOKENS, PROMPT_WORDS, PROMPT_CHARACTERS = 48, 3, 40
BITS = "validation/bits_per_byte"


class Pretraining:
    """See `experiments.runs.kinds.Kind`."""

    files = ("samples.txt",)

    def tokens(self, config: RunConfig) -> int:
        return int(make_plan(config).tokens[-1])

    def origins(self, config: RunConfig, data_dir: Path | None) -> dict[str, str]:
        data, root = config.data, cache_root()
        sources = parse_sources(data.source)
        opened = [[open_source(name, data_dir, root, data.text_key).digest, n] for name, n in sources]
        return {"source_digest": digest_of(opened)}

    def check(self, run: Run) -> None:
        """Checks the room for checkpoints, and the sample's prompt if the tokenizer is known before the data."""
        require_readable_name(run.folder)
        check_room(run.folder, checkpoint_bytes(run.config), "the checkpoints that training keeps")
        check_settings(run.config)

    def gather(self, run: Run) -> Corpus:
        """The config's data as token windows. Data that is not in the cache is prepared first."""
        config, alone = run.config, jax.process_count() == 1  # several processes stop where training would begin
        with run.screen.stages(in_bytes=True) as show:

            def progress(stage: str, done: int, total: int | None) -> None:
                show(stage, done, total)
                if alone and run.should_stop():
                    steps = [int(path.name) for path in (run.folder / "checkpoints").glob("*") if path.name.isdigit()]
                    raise Interrupted(stopped(max(steps, default=0)))

            corpus = prepare(
                config.data,
                vocab_size=config.model.vocab_size,
                context_length=config.model.context_length,
                data_dir=run.data_dir,
                progress=progress,
            )
        corpus.require_fit(config.model)
        return corpus

    def check_materials(self, run: Run, materials: Corpus) -> None:
        check_prompt(run.config, materials.tokenizer)

    def train(self, run: Run, materials: Corpus) -> Metrics:
        session = Session(run.config, run.folder, materials, run.screen, run.profile, run.lane)
        metrics = session.train(run.should_stop, run.divergence_is_outcome)
        if not metrics["diverged"] and run.evaluate is not None:
            with run.screen.waiting("measuring"):
                metrics |= run.evaluate(
                    FinishedRun(run.identity, run.config, session.params, materials, run.data_dir, run.folder)
                )
        return metrics

    def summary(self, run: Run, materials: Corpus, metrics: Metrics) -> dict[str, str]:
        folder = run.folder
        if metrics["diverged"]:
            return {"outcome": f"diverged at step {metrics['diverged_at_step']:,}", "folder": str(folder)}
        samples = read_samples(folder / "samples.txt") if is_writer() else []
        speed = metrics["time/tokens_per_second"]
        return {
            "validation": f"{metrics[BITS]:.4f} bits/byte ({metrics['validation/loss']:.4f} nats/token)",
            "speed": f"{speed:,.0f} tokens/s; {metrics['time/seconds']:.0f} s in all" if speed else "unknown",
            "last sample": samples[-1].text.strip() if samples else "",
            "pictures": str(folder / "loss.png"),
            "more text": typed("sample", folder, "--prompt", suggested_prompt(run.config, materials)),
            "export": typed("export", folder, Path("exported", *folder.parts[-3:])),
            "report": typed("report", folder.parents[1]),
            "again": f"{run.resume_command} (says that it is finished)" if run.resume_command else "",
        }

    def wrong_lines(self, config: RunConfig, path: Path, lines: list[dict[str, Any]]) -> list[str]:
        plan, last = make_plan(config), 0
        for number, line in enumerate(lines, 1):
            step, tokens = line.get("step"), line.get("tokens")
            if not isinstance(step, int) or not last <= step <= plan.steps:
                return [f"{path}: line {number}: step {step} is not allowed after {last}, of {plan.steps}"]
            if tokens != int(plan.tokens[step]):
                return [f"{path}: line {number}: {tokens} tokens at step {step}: the plan has {plan.tokens[step]}"]
            last = step
        return []

    def wrong_weights(self, config: RunConfig, folder: Path) -> list[str]:
        if not any(path.name.isdigit() for path in (folder / "checkpoints").glob("*")):
            return [f"{folder / 'checkpoints'}: holds no checkpoint"]
        problems: list[str] = []
        state = restore(config, folder, problems.append)
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params)):
            problems.append(f"{folder / 'checkpoints'}: the newest checkpoint's parameters are not all finite")
        return problems

    def final_parameters(self, config: RunConfig, folder: Path) -> Any:
        last = make_plan(config).steps
        there = last in checkpoint_steps(folder)
        return restore(config, folder, lambda line: None, last).params if there else None


def checkpoint_bytes(config: RunConfig) -> int:
    """The bytes of all checkpoints that are on disk at once: those that are kept, and the one being written."""
    training, plan = config.training, make_plan(config)
    state = state_shapes(config)
    one = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    written = len(plan.due(training.checkpoint_every_tokens) | {plan.steps})
    return one * min(training.keep_last + training.keep_best + 1, written)


def check_settings(config: RunConfig) -> None:
    """Raises `InputError` for what can be known to be wrong before the data is read."""
    check_installed(config.training)
    if config.data.tokenizer != "sentencepiece":  # that one is trained on the data
        check_prompt(config, make_tokenizer(config.data.tokenizer, config.model.vocab_size, None))


def check_prompt(config: RunConfig, tokenizer: Tokenizer) -> None:
    """Raises `InputError` where the prompt of the samples leaves no room in the context."""
    count, context = len(tokenizer.encode(config.training.sample_prompt)), config.model.context_length
    if count >= context:
        raise InputError(
            f"training.sample_prompt: its {count} tokens leave no room for a sample: fewer than "
            f"model.context_length = {context} are allowed"
        )


def suggested_prompt(config: RunConfig, corpus: Corpus) -> str:
    """A prompt for a model of this text: the run's own prompt, or else the validation text's first words."""
    prompt = " ".join(config.training.sample_prompt.split())
    if prompt:
        return prompt
    batch = next(validation_batches(corpus, batch_size=1, max_tokens=1), np.empty((0, 0), np.int32))
    tokens = [token for token in batch.ravel()[:PROMPT_TOKENS].tolist() if token >= 0]
    words = corpus.tokenizer.decode(tokens).replace("<|endoftext|>", " ").split()
    whole = words[:-1] or words  # the last may be cut short
    return " ".join(whole[:PROMPT_WORDS])[:PROMPT_CHARACTERS].replace("\ufffd", "") or "The"


KIND = Pretraining()
