"""Fine-tuning as a run does it. A task and weights become a classifier and its predictions, in one folder.

A run that was stopped starts again from its beginning. It takes minutes, and gives the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax

from experiments.runs.finetuning.materials import Materials
from experiments.runs.finetuning.predictions import measure
from experiments.runs.finetuning.saved import save
from experiments.runs.kinds import Interrupted, Lane
from experiments.runs.screen import Screen
from gpt_jax.config import RunConfig
from gpt_jax.errors import TrainingDiverged
from gpt_jax.finetuning.fit import alone, fit
from gpt_jax.finetuning.objective import Objective
from gpt_jax.finetuning.update import update
from gpt_jax.training.metrics_log import MetricsLog
from gpt_jax.training.trackers import open_trackers

Metrics = dict[str, Any]


def finetune(
    config: RunConfig,
    materials: Materials,
    folder: Path,
    screen: Screen,
    should_stop: Callable[[], bool],
    divergence_is_outcome: bool,
    lane: Lane | None = None,
) -> Metrics:
    """Fine-tunes, writes the folder's files and returns the run's metrics. Raises `Interrupted` and `TrainingDiverged`.

    Metrics are the task's, by split, of the best epoch's model ("test/accuracy"), of the majority's label and of
    bag-of-words on the same examples ("bag_of_words/test/accuracy"), and "loss", the mean L2 (nats) without dropout.
    A pair of distributions (data/pairs/shifted.py) has more: see its `shifts`, and "copies/test", the test examples
    that are left out as they are trained on too.
    """
    started, task = time.perf_counter(), materials.task
    log = MetricsLog(folder / "metrics.jsonl", -1, open_trackers(config, folder, -1, screen.warn))
    seen, updates = [0], count_updates(config, len(materials.splits["train"]))

    def on_update(number: int, measured: Mapping[str, float]) -> None:
        seen.append(seen[-1] + int(measured["tokens"]))
        losses = {"train/loss": measured["supervised_loss"], "train/objective": measured["loss"]}
        if "auxiliary_loss" in measured:
            losses["train/auxiliary_loss"] = measured["auxiliary_loss"]
        rest = {"gradient_norm": measured["gradient_norm"], "learning_rate": measured["rate"]}
        log.write(number, seen[-1], {**losses, **rest})
        advance("fine-tuning", number, updates)
        if should_stop():
            raise Interrupted(f"stopped at update {number:,}: fine-tuning keeps no checkpoints and starts again")

    def on_epoch(number: int, measured: Mapping[str, float]) -> None:
        log.write(number, seen[-1], {f"validation/{name}": value for name, value in measured.items()})
        shown = ", ".join(f"{name} {value:.4f}" for name, value in measured.items())
        screen.say(f"update {number:,} of {updates:,}: validation {shown}")

    screen.table("this run", describe(config, materials))
    try:
        with screen.stages(is_training=True) as advance:
            model = fit(
                config,
                task,
                materials.splits,
                materials.tokenizer,
                materials.pretrained,
                on_update,
                on_epoch,
                alone if lane is None else partial(_with_others, lane),
            )
    except TrainingDiverged as diverged:
        if not divergence_is_outcome:
            raise
        screen.warn(f"diverged: {diverged}")
        return {"diverged": 1.0, "diverged_at_step": diverged.step, "tokens": seen[-1]}
    finally:
        log.close()
    with screen.waiting("measuring, and fitting bag-of-words"):
        metrics = measure(model, config, materials, folder)
    save(model, materials.tokenizer, folder)
    trained, everything = (sum(leaf.size for leaf in jax.tree.leaves(t)) for t in (model.trained, model.frozen))
    return {
        "diverged": 0.0,
        **metrics,
        **{f"copies/{split}": count for split, count in materials.copies.items()},
        "updates": len(seen) - 1,
        "tokens": seen[-1],
        "parameters": trained + everything,
        "trained_parameters": trained,
        "time/seconds": max(time.perf_counter() - started, 0.0),
    }


def _with_others(lane: Lane, objective: Objective, frozen: Any) -> Callable[..., Any]:
    """The update of a run that trains together with others."""

    def step_of(objective: Objective) -> Callable[..., Any]:
        return lambda state, frozen, *given: update(objective, state, frozen, *given)

    return lane.stepper(objective, step_of, frozen, ["classifier_dropout"])


def describe(config: RunConfig, materials: Materials) -> dict[str, str]:
    """What the run will do, in words."""
    settings, task, splits = config.finetuning, materials.task, materials.splits
    count = len(splits["train"])
    start = "scratch" if materials.pretrained is None or settings.transfer_layers == -1 else str(settings.weights)
    if start != "scratch" and settings.transfer_layers is not None:
        start += f", the embeddings and {settings.transfer_layers} of {config.model.n_layer} blocks"
    copies = [f"{count:,} of {split}, which are trained on" for split, count in materials.copies.items() if count]
    sizes = ", ".join(f"{len(examples):,} {split}" for split, examples in splits.items())
    return {
        "task": f"{task.name}: {task.shape.replace('_', ' ')}, by {task.metric}",
        "examples": f"{sizes}; trained on {min(settings.examples or count, count):,}",
        **({"copies left out": ", ".join(copies)} if copies else {}),
        "from": start,
        "trains": settings.trainable,
        "updates": f"{count_updates(config, count):,} of {settings.batch_size} examples",
        "objective": f"L2 + {settings.auxiliary_weight:g} L1",
    }


def count_updates(config: RunConfig, examples: int) -> int:
    settings = config.finetuning
    examples = min(settings.examples or examples, examples)
    return settings.epochs * (examples // min(settings.batch_size, max(examples, 1)))
