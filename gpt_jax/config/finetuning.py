"""GPT-1's supervised fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpt_jax.config.checks import Checks


@dataclass(frozen=True)
class FinetuningConfig:
    """GPT-1's supervised fine-tuning (sections 3.2 and 4.1), for a run that has a `task`.

    The defaults are the paper's. Adam's constants come from `optimizer`, whose rate and schedule are not used here.
    Sizes are counted in examples: an example of classification is one sequence, an example of similarity is two, and an
    example of multiple choice is one sequence per answer.
    """

    task: str | None = None  # a task's name or folder (data/tasks/); None: this run pre-trains
    # A run folder, or a folder in Transformers' layout. Of several, separated by commas, the first that holds this
    # run's model is read. None: the model starts from scratch.
    weights: str | None = None
    # What is taken from `weights`: the embeddings and the first n blocks. None: everything. -1: nothing, as with the
    # released code's n_transfer.
    transfer_layers: int | None = None
    # "all" (the paper), "head": W_y and the special tokens only (the founding note), "top:N": those and N blocks.
    trainable: str = "all"
    examples: int | None = None  # of the training set, drawn by the seed; None: all
    validation_examples: int | None = None  # the same for every seed; None: all
    max_length: int | None = None  # tokens of a sequence, with special tokens; None: the longest's, or the context
    epochs: int = 3
    patience: int | None = None  # epochs without a better validation score before the run stops; None: it runs on
    batch_size: int = 32
    learning_rate: float = 6.25e-5
    # "linear": up over warmup_fraction of the updates, then down to 0. "released": warmup_linear of the released code,
    # whose first update has rate 0.
    schedule: Literal["linear", "released"] = "linear"
    warmup_fraction: float = 0.002
    auxiliary_weight: float = 0.5  # lambda in L3 = L2 + lambda L1
    auxiliary: Literal["mean", "sum"] = "mean"  # over a sequence's tokens: the released code, and the paper's equation
    # Rows that the auxiliary softmax is over: tokens and special tokens, or positions too, as the released code's.
    auxiliary_rows: Literal["tokens", "positions"] = "tokens"
    classifier_dropout: float = 0.1
    regression: Literal["soft_labels", "mse"] = "soft_labels"

    def __post_init__(self):
        check = Checks(self, "finetuning")
        check.at_least(1, "epochs", "batch_size", "examples", "validation_examples", "patience")
        check.at_most(1_000_000, "epochs", "batch_size", "patience")
        check.at_most(1_000_000_000, "examples", "validation_examples")
        check.at_least(8, "max_length")
        layers = self.transfer_layers
        check.that("transfer_layers", layers is None or layers >= -1, "at least -1 (nothing), or none (everything)")
        kind, _, count = self.trainable.partition(":")
        known = self.trainable in ("all", "head") or (kind == "top" and count.isascii() and count.isdigit())
        check.that("trainable", known and len(count) < 10, "all, head, or top:N for the top N blocks")
        check.above(0, "learning_rate")
        check.at_least(0, "auxiliary_weight")
        check.rates("warmup_fraction", "classifier_dropout")
