"""A run: all its sections, and what they must agree on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gpt_jax.config.checks import require
from gpt_jax.config.data import DataConfig
from gpt_jax.config.finetuning import FinetuningConfig
from gpt_jax.config.mesh import MeshConfig
from gpt_jax.config.model import ModelConfig
from gpt_jax.config.optimizer import OptimizerConfig
from gpt_jax.config.training import TrainingConfig


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run: of pre-training, or of fine-tuning where `finetuning` has a task."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    finetuning: FinetuningConfig = field(default_factory=FinetuningConfig)

    @property
    def kind(self) -> Literal["pretraining", "finetuning"]:
        """What kind of run this is; asked here and nowhere else."""
        return "pretraining" if self.finetuning.task is None else "finetuning"

    def __post_init__(self):
        if self.kind == "finetuning":
            return self._check_finetuning()
        context, batch = self.model.context_length, self.training.batch_tokens
        require(
            batch % context == 0,
            "training.batch_tokens", batch, f"a multiple of model.context_length = {context}",
        )  # fmt: skip
        micro = self.training.micro_batch
        require(
            micro is None or (batch // context) % micro == 0,
            "training.micro_batch", micro, f"a divisor of the {batch // context} sequences of a batch",
        )  # fmt: skip

    def _check_finetuning(self) -> None:
        unused = ("learning_rate", "schedule", "warmup_tokens", "decay_tokens", "final_fraction")
        for name in unused:
            value = getattr(self.optimizer, name)
            require(
                value == getattr(OptimizerConfig, name), f"optimizer.{name}", value,
                "fine-tuning has its own: finetuning.learning_rate, .schedule and .warmup_fraction",
            )  # fmt: skip
        length, context = self.finetuning.max_length, self.model.context_length
        require(
            length is None or length <= context,
            "finetuning.max_length", length, f"at most model.context_length = {context}",
        )  # fmt: skip
        for name in ("data", "fsdp", "tensor"):
            parts = getattr(self.mesh, name)
            require(parts in (None, 1), f"mesh.{name}", parts, "1, or none: fine-tuning runs on one device")
        layers, count = self.finetuning.transfer_layers, self.model.n_layer
        require(
            layers is None or layers <= count,
            "finetuning.transfer_layers", layers, f"at most model.n_layer = {count}",
        )  # fmt: skip
        top = self.finetuning.trainable.partition(":")[2]
        require(
            not top or int(top) <= count, "finetuning.trainable", self.finetuning.trainable,
            f"at most top:{count}, the blocks there are",
        )  # fmt: skip
