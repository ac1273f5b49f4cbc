"""Fine-tuning as a kind of run: a task and weights in, a classifier and its predictions out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.command import typed
from experiments.runs.finetuning.materials import Materials, gather, read_task
from experiments.runs.finetuning.predictions import PREDICTIONS
from experiments.runs.finetuning.saved import WEIGHTS, restore
from experiments.runs.finetuning.training import finetune
from experiments.runs.kinds import Metrics, Run
from experiments.runs.preflight import check_room
from experiments.runs.results import read_result
from gpt_jax.config import RunConfig
from gpt_jax.disk import Digests, cache_root
from gpt_jax.errors import InputError
from gpt_jax.loading import files_digest
from gpt_jax.model.costs import parameter_count
from gpt_jax.training.trackers import check_installed


class Finetuning:
    """See `experiments.runs.kinds.Kind`. Keeps no checkpoints: a run that was broken off starts again."""

    files = ()

    def tokens(self, config: RunConfig) -> int:
        """Counted with their padding."""
        settings = config.finetuning
        return settings.epochs * (settings.examples or 0) * (settings.max_length or 0)

    def origins(self, config: RunConfig, data_dir: Path | None) -> dict[str, str]:
        found = {"source_digest": read_task(str(config.finetuning.task), data_dir).digest}
        weights = config.finetuning.weights
        if weights is not None and Path(weights).is_dir():
            found["weights_digest"] = files_digest(Path(weights), Digests(cache_root()))
        return found

    def check(self, run: Run) -> None:
        if jax.process_count() > 1:
            raise InputError("--hosts: a fine-tuning is not allowed on several processes: it runs on one")
        check_installed(run.config.training)
        if run.profile:
            raise InputError(f"--profile: {run.profile} is not allowed: a fine-tuning is not recorded, pre-training is")
        size = 2 if run.config.model.param_dtype == "bfloat16" else 4  # bytes
        check_room(run.folder, size * parameter_count(run.config.model), "the classifier's weights")

    def gather(self, run: Run) -> Materials:
        with run.screen.waiting("reading the task and the weights"):
            return gather(run.config, run.data_dir)

    def check_materials(self, run: Run, materials: Materials) -> None:
        pass

    def train(self, run: Run, materials: Materials) -> Metrics:
        return finetune(
            run.config, materials, run.folder, run.screen, run.should_stop, run.divergence_is_outcome, run.lane
        )

    def summary(self, run: Run, materials: Materials, metrics: Metrics) -> dict[str, str]:
        if metrics["diverged"]:
            return {"outcome": f"diverged at update {metrics['diverged_at_step']:,}", "folder": str(run.folder)}
        splits = ("train/", "validation/", "test/", "ood", "gap/", "majority/", "bag_of_words/")
        shown = {key: f"{value:.4f}" for key, value in metrics.items() if key.startswith(splits) and value is not None}
        return {
            **shown,
            "predictions": str(run.folder / PREDICTIONS),
            "classify": typed("classify", run.folder, *suggested_texts(materials)),
        }

    def wrong_lines(self, config: RunConfig, path: Path, lines: list[dict[str, Any]]) -> list[str]:
        steps = [line.get("step", -1) for line in lines]
        return [] if steps == sorted(steps) else [f"{path}: its steps are not in order"]

    def wrong_weights(self, config: RunConfig, folder: Path) -> list[str]:
        result = folder / "result.json"
        if not result.exists() or read_result(result).metrics.get("diverged"):
            return []
        finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(restore(folder).trained))
        return [] if finite else [f"{folder / WEIGHTS}: its parameters are not all finite"]

    def final_parameters(self, config: RunConfig, folder: Path) -> Any:
        return restore(folder).trained if (folder / WEIGHTS).is_file() else None


def suggested_texts(materials: Materials) -> list[str]:
    """`classify`'s arguments for the shortest example that the classifier was not trained on."""
    splits = materials.splits
    found = splits.get("test") or splits.get("validation") or splits["train"]
    texts = min((example.texts for example in found), key=lambda texts: sum(map(len, texts)))
    options = ["--text", "--text-b", *["--answer"] * len(texts)]
    return [word for option, text in zip(options, texts, strict=False) for word in (option, text)]


KIND = Finetuning()
