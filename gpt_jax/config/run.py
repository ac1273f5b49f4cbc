"""A run: all its sections, and what they must agree on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gpt_jax.config.checks import Checks
from gpt_jax.config.data import DataConfig
from gpt_jax.config.finetuning import FinetuningConfig
from gpt_jax.config.mesh import MeshConfig
from gpt_jax.config.model import ModelConfig
from gpt_jax.config.optimizer import OptimizerConfig
from gpt_jax.config.training import TrainingConfig


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run: a pre-training, or a fine-tuning if `finetuning` has a task."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    finetuning: FinetuningConfig = field(default_factory=FinetuningConfig)

    @property
    def kind(self) -> Literal["pretraining", "finetuning"]:
        """What kind of run this is. Only this property decides it."""
        return "pretraining" if self.finetuning.task is None else "finetuning"

    def __post_init__(self):
        if self.kind == "finetuning":
            return self._check_finetuning()
        context, batch, check = self.model.context_length, self.training.batch_tokens, Checks(self.training, "training")
        check.that("batch_tokens", batch % context == 0, f"a multiple of model.context_length = {context}")
        rows, micro = batch // context, self.training.micro_batch
        check.that("micro_batch", micro is None or rows % micro == 0, f"a divisor of the {rows} sequences of a batch")

    def _check_finetuning(self) -> None:
        check = Checks(self.optimizer, "optimizer")
        for name in ("learning_rate", "schedule", "warmup_tokens", "decay_tokens", "final_fraction"):
            unused = getattr(self.optimizer, name) == getattr(OptimizerConfig, name)
            check.that(name, unused, "fine-tuning has its own: finetuning.learning_rate, schedule and warmup_fraction")
        check = Checks(self.mesh, "mesh")
        for name in ("data", "fsdp", "tensor"):
            check.that(name, getattr(self.mesh, name) in (None, 1), "1, or none: fine-tuning runs on one device")
        check, tuning = Checks(self.finetuning, "finetuning"), self.finetuning
        length, context = tuning.max_length, self.model.context_length
        check.that("max_length", length is None or length <= context, f"at most model.context_length = {context}")
        layers, count = tuning.transfer_layers, self.model.n_layer
        check.that("transfer_layers", layers is None or layers <= count, f"at most model.n_layer = {count}")
        top = tuning.trainable.partition(":")[2]
        check.that("trainable", not top or int(top) <= count, f"at most top:{count}, the blocks there are")
