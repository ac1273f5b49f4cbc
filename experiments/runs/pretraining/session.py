"""Training as a run does it, with its hooks, its log and its checkpoints in one folder."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from experiments.measurements.unigram import validation_entropy
from experiments.runs.kinds import Interrupted, Lane, Metrics
from experiments.runs.pretraining.derived import derived
from experiments.runs.pretraining.samples import Samples
from experiments.runs.profiling.recording import Recording
from experiments.runs.screen import Screen
from gpt_jax.config import RunConfig, differences, digest, from_dict, to_dict
from gpt_jax.data.pipeline import open_batches, validation_batches
from gpt_jax.data.prepare import Corpus
from gpt_jax.data.tokenizers import continued, load_tokenizer
from gpt_jax.disk import move_whole
from gpt_jax.errors import InputError, TrainingDiverged
from gpt_jax.evaluation.perplexity import bits_per_byte, mean_loss
from gpt_jax.generation import generate
from gpt_jax.model.costs import parameter_count, train_flops_per_token
from gpt_jax.numerics import pinned
from gpt_jax.parallel.chips import peak_flops
from gpt_jax.parallel.hosts import agreed, is_writer
from gpt_jax.parallel.lowering import initializer, lower_step
from gpt_jax.parallel.mesh import batch_parts, check_batch, make_mesh, process_rows, put_batch
from gpt_jax.sharding import shaped, state_shardings
from gpt_jax.training.checkpoint import Checkpoints
from gpt_jax.training.loop import Hook, train
from gpt_jax.training.metrics_log import MetricsLog
from gpt_jax.training.plan import Plan, learning_rate, make_plan
from gpt_jax.training.state import SAMPLING, TrainState, purpose_key, state_shapes
from gpt_jax.training.step import make_train_step
from gpt_jax.training.trackers import open_trackers

SAMPLE_TEMPERATURE = 0.8


def stopped(step: int) -> str:
    """What `Interrupted` says of a run that was asked to stop: it is kept in the checkpoint of `step`, if not 0."""
    kept = "its checkpoint is written" if step else "no checkpoint is written yet"
    return f"stopped {f'at step {step:,}' if step else 'before the first step'}: {kept}"


def compile_step(config: RunConfig, plan: Plan, mesh: Mesh) -> tuple[Callable, int]:
    """The training step, compiled once for the shapes of this run, and the bytes of memory it needs on a device."""
    compiled = lower_step(config, mesh, plan.accumulation, plan.micro_batch).compile()
    memory = compiled.memory_analysis()
    needed = memory.argument_size_in_bytes + memory.temp_size_in_bytes if memory is not None else 0
    return compiled, needed


def step_of(config: RunConfig) -> Callable[..., Any]:
    """The train step as runs that train together make it."""
    return lambda state, _, *given: make_train_step(config)(state, *given)


class Session:
    """One run, from the state of its folder to its end. `params` holds the last parameters after `train`."""

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        corpus: Corpus,
        screen: Screen,
        profile: int = 0,
        lane: Lane | None = None,
    ):
        self.config, self.folder, self.corpus, self.screen = config, folder, corpus, screen
        self.profile, self.lane = profile, lane  # `profile`: steps to record
        self.own = folder if is_writer() else Path(tempfile.mkdtemp())  # one of several processes writes
        self.mesh = make_mesh(config.mesh, None if lane is None else lane.devices)
        self.plan = make_plan(config, batch_parts(self.mesh))
        check_batch(self.mesh, self.plan.micro_batch)
        self.tokens = self.plan.tokens
        self.rates = learning_rate(config.optimizer, self.tokens[:-1], config.training.train_tokens)
        self.peak, self.flops_per_token = peak_flops(), train_flops_per_token(config.model)
        self.checkpoints = Checkpoints(folder / "checkpoints", config.training.keep_last, config.training.keep_best)
        self.validation_loss: float | None = None  # the newest, nats/token
        self.seconds = 0.0  # spent before this session
        self.params: Any = None
        self.log: MetricsLog  # opened at the step that training goes on from, as is the next
        self.samples: Samples
        self.log_due = self.plan.due(config.training.log_every_tokens) | {self.plan.steps}
        self.logged, self.clock = 0, time.perf_counter()  # the step last logged, and when

    def train(self, should_stop: Callable[[], bool], divergence_is_outcome: bool) -> Metrics:
        """Trains to the end and returns the run's metrics. Raises `Interrupted` and `TrainingDiverged`."""
        with ExitStack() as opened:
            opened.callback(self.checkpoints.close)  # once what is being written is
            opened.enter_context(jax.set_mesh(self.mesh))
            opened.enter_context(pinned())
            return self._train(opened, should_stop, divergence_is_outcome)

    def _train(self, opened: ExitStack, should_stop: Callable[[], bool], divergence_is_outcome: bool) -> Metrics:
        started, plan, training = time.perf_counter(), self.plan, self.config.training
        state = self._initial_state()
        first = int(state.step)
        self._save_tokenizer()
        self.seconds -= started  # spent() adds the clock
        trackers = open_trackers(self.config, self.folder, first, self.screen.warn) if is_writer() else ()
        self.log = MetricsLog(self.own / "metrics.jsonl", first, trackers)
        opened.callback(self.log.close)
        self.samples = Samples(self.own / "samples.txt", first)
        rows = process_rows(self.mesh, plan.micro_batch)
        if self.lane is None:
            stepping, memory = self._compiled_step(opened, rows)
        else:
            stepping, memory = self.lane.stepper(self.config, step_of), 0
        if agreed(should_stop, every=1)():
            raise Interrupted(stopped(first))
        told = derived(self.config, plan, self.corpus, self.mesh, self.peak, memory, first)
        self.screen.table("this run", {**told, "folder": str(self.folder)})
        batches = open_batches(self.corpus, batch_size=plan.micro_batch, seed=training.seed, rows=rows)
        sequences = zip(plan.first_sequence[first:-1].tolist(), plan.sequences[first:].tolist(), strict=True)
        steps = batches.iterate(sequences, plan.accumulation)
        last = {plan.steps}
        hooks = [
            Hook(plan.due(training.evaluate_every_tokens) - last, self._evaluate),
            Hook(last, partial(self._evaluate, whole=True)),
            Hook(plan.due(training.sample_every_tokens) | last, self._sample),
            Hook(plan.due(training.checkpoint_every_tokens) | last, self._save),
        ]
        self.logged, self.clock = first, time.perf_counter()
        metrics: Metrics = {"diverged": 0.0}
        try:
            with self.screen.training(int(self.tokens[-1]), int(self.tokens[first])):
                state = train(
                    state,
                    stepping,
                    steps,
                    plan,
                    self.rates,
                    training.seed,
                    self._on_metrics,
                    hooks,
                    agreed(should_stop),
                )
            reached = int(state.step)
            if reached < plan.steps:
                self._save(reached, state)
                self.checkpoints.wait()
                raise Interrupted(stopped(reached))
            self.params = state.params
            metrics |= self._final(state)
        except TrainingDiverged as diverged:
            if not divergence_is_outcome:
                raise self._explained(diverged) from None
            self.screen.warn(f"diverged: {diverged}")
            metrics = {"diverged": 1.0, "diverged_at_step": diverged.step, "tokens": int(self.tokens[diverged.step])}
        self.checkpoints.wait()
        seen = metrics["tokens"] = int(metrics.get("tokens", self.tokens[-1]))
        return metrics | {
            "parameters": parameter_count(self.config.model),
            "train/flops": self.flops_per_token * seen,
            "time/seconds": self._spent(),
        }

    def _compiled_step(self, opened: ExitStack, rows: slice) -> tuple[Callable[..., Any], int]:
        """The train step `(state, tokens_ABT1 on the host, rate, seed)`, and the bytes that it needs on a device."""
        plan = self.plan
        with self.screen.waiting("compiling the training step"):
            compiled, memory = compile_step(self.config, plan, self.mesh)

        def step(state, tokens_ABT1, rate, seed):
            return compiled(state, put_batch(self.mesh, rows, plan.micro_batch, tokens_ABT1), rate, seed)

        if not (self.profile and is_writer()):
            return step, memory
        recording = Recording(step, compiled.as_text(), self.profile, self.own / "profile", self.screen)
        opened.callback(recording.close)
        return recording, memory

    def _initial_state(self) -> TrainState:
        """The newest readable checkpoint's state, or a fresh one."""
        shapes = state_shapes(self.config)
        like = shaped(shapes, state_shardings(shapes, self.mesh))
        restored = self.checkpoints.restore(like, self.screen.warn, accept=self._check_origin)
        if restored is None:
            return initializer(self.config, self.mesh)(np.uint32(self.config.training.seed))
        state, meta = restored
        self.validation_loss, self.seconds = meta["validation/loss"], meta["seconds"]
        self.screen.say(f"resuming after step {int(state.step):,} of {self.plan.steps:,}")
        return state

    def _check_origin(self, meta: dict[str, Any]) -> None:
        """Raises `InputError` for a checkpoint of another config, with the keys that differ, or of other data."""
        changed = differences(from_dict(meta["config"]), self.config) if "config" in meta else {}
        if changed:
            shown = ", ".join(f"{key} is {theirs!r}, not {ours!r}" for key, (theirs, ours) in changed.items())
            raise InputError(
                f"{self.folder / 'checkpoints'} holds checkpoints of another config: {shown}: only this run's own are "
                "allowed"
            )
        if meta["data_digest"] != self.corpus.digest:
            raise InputError(
                f"{self.folder}: it was trained on data of digest {meta['data_digest']}, the data now has "
                f"{self.corpus.digest}: only the same data is allowed"
            )

    def _on_metrics(self, step: int, metrics: dict[str, float]) -> None:
        now, tokens = time.perf_counter(), int(self.tokens[step])
        elapsed = now - self.clock  # a clock may have been set back: then the speed is unknown
        speed = (tokens - int(self.tokens[self.logged])) / elapsed if elapsed > 0 else math.nan
        utilisation = None if self.peak is None else speed * self.flops_per_token / self.peak
        self.screen.advance(tokens, metrics["train/loss"], speed, utilisation)
        if step in self.log_due:
            rate = float(self.rates[step - 1])
            self.log.write(step, tokens, {**metrics, "learning_rate": rate, "time/tokens_per_second": speed})
            self.logged, self.clock = step, now

    def _evaluate(self, step: int, state: TrainState, whole: bool = False) -> None:
        """Validation over `evaluation_tokens`, or over the whole split and then over that of each source too."""
        most = None if whole else self.config.training.evaluation_tokens
        loss, bits = self._validation(self.corpus, state, most)
        figures, self.validation_loss = {"validation/loss": loss, "validation/bits_per_byte": bits}, loss
        self.screen.say(f"step {step:,}: validation {loss:.4f} nats/token, {bits:.4f} bits/byte")
        for name, source in self.corpus.by_name.items() if whole else ():
            loss, bits = self._validation(source, state, None)
            figures |= {f"validation/{name}/loss": loss, f"validation/{name}/bits_per_byte": bits}
            self.screen.say(f"  of {name}: {loss:.4f} nats/token, {bits:.4f} bits/byte")
        self.log.write(step, int(self.tokens[step]), figures)
        self._restart_clock(step)

    def _validation(self, corpus: Corpus, state: TrainState, most: int | None) -> tuple[float, float]:
        """Nats per token over at most so many tokens of a corpus's validation split, and as bits per byte."""
        batches = validation_batches(corpus, batch_size=self.plan.micro_batch, max_tokens=most)
        everything = slice(0, self.plan.micro_batch)
        put = partial(put_batch, self.mesh, everything, self.plan.micro_batch)
        loss, _ = mean_loss(self.config.model, state.params, batches, put)
        return loss, bits_per_byte(loss, corpus.validation_tokens, corpus.validation_bytes)

    def _sample(self, step: int, state: TrainState) -> None:
        training, tokenizer = self.config.training, self.corpus.tokenizer
        prompt = tokenizer.encode(training.sample_prompt) or [tokenizer.end_of_text or 0]
        count = min(training.sample_tokens, self.config.model.context_length - len(prompt))
        key = jax.random.fold_in(purpose_key(training.seed, SAMPLING), step)
        (tokens,) = generate(self.config.model, state.params, [prompt], count, SAMPLE_TEMPERATURE, key=key)
        text = training.sample_prompt + continued(tokenizer, prompt, tokens)
        self.samples.write(step, int(self.tokens[step]), text)
        self.screen.sample(step, text)
        self._restart_clock(step)

    def _save(self, step: int, state: TrainState) -> None:
        self.log.sync()
        meta = {
            "config": to_dict(self.config),
            "config_digest": digest(self.config),
            "seed": self.config.training.seed,
            "data_digest": self.corpus.digest,
            "tokenizer_digest": self.corpus.tokenizer.digest,
            "tokens": int(self.tokens[step]),
            "validation/loss": self.validation_loss,
            "seconds": self._spent(),
        }
        own = TrainState(state.step, state.params, state.opt_state)  # of runs that train together, this one's
        self.checkpoints.save(step, own, meta, self.validation_loss)
        self._restart_clock(step)

    def _save_tokenizer(self) -> None:
        """Once, and whole or not at all; again where what is there is damaged."""
        folder, partial = self.own / "tokenizer", self.own / ".tokenizer.partial"
        with suppress(InputError):
            if load_tokenizer(folder).digest == self.corpus.tokenizer.digest:
                return
        for old in (folder, partial):
            shutil.rmtree(old, ignore_errors=True)
        self.corpus.tokenizer.save(partial)
        move_whole(partial, folder)

    def _final(self, state: TrainState) -> Metrics:
        """The newest figures in the log, which may be an earlier session's."""
        lines = self.log.lines()
        if not any("validation/bits_per_byte" in line for line in lines):  # a power cut took them
            self._evaluate(self.plan.steps, state, whole=True)
            lines = self.log.lines()
        speeds = [line["time/tokens_per_second"] for line in lines if line.get("time/tokens_per_second")]
        newest = {key: value for line in lines for key, value in line.items()}
        return {
            **{key: newest.get(key) for key in ("validation/loss", "validation/bits_per_byte", "train/loss")},
            "validation/unigram_entropy": validation_entropy(self.corpus),
            "time/tokens_per_second": float(np.median(speeds)) if speeds else None,
        }

    def _explained(self, diverged: TrainingDiverged) -> TrainingDiverged:
        self.checkpoints.wait()
        steps = self.checkpoints.steps()
        kept = f"the checkpoint of step {steps[-1]:,} is the last good one" if steps else "no checkpoint was due yet"
        hint = "a lower optimizer.learning_rate, a longer optimizer.warmup_tokens or a clip (optimizer.clip_norm) helps"
        return TrainingDiverged(f"{self.folder}: {diverged}: stopped; {kept}; {hint}", diverged.step)

    def _restart_clock(self, step: int) -> None:
        """What hooks take is not training time."""
        self.logged, self.clock = step, time.perf_counter()

    def _spent(self) -> float:
        return max(self.seconds + time.perf_counter(), 0.0)
