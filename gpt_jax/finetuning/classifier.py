"""A fine-tuned model as a value. It predicts from examples, and is written to a file and read back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from gpt_jax.config import RunConfig
from gpt_jax.data.tokenizers import Tokenizer, require_rows
from gpt_jax.errors import InputError
from gpt_jax.finetuning import parameters
from gpt_jax.finetuning.objective import Objective
from gpt_jax.finetuning.transformations import SPECIAL_TOKENS, EncodedExamples, SpecialTokens, encode, tokenize
from gpt_jax.finetuning.update import predict
from gpt_jax.interop.tensors import write_tensors
from gpt_jax.numerics import pinned

if TYPE_CHECKING:
    from gpt_jax.data.tasks import Example, LabelledTask

Params = parameters.Params


@dataclass(frozen=True)
class Classifier:
    """A fine-tuned model. `trained` and `frozen` are `parameters.split`'s trees."""

    task: LabelledTask
    objective: Objective
    tokenizer: Tokenizer
    length: int  # tokens of a sequence, at most
    trained: Params
    frozen: Params
    batch_size: int = 64

    def predict(self, examples: Sequence[Example]) -> np.ndarray:
        """Probabilities, float64 `(N, K)` over labels or answers (0 where there is no answer); or values `(N,)`."""
        return self.evaluate(self.encode(examples))[0]

    def encode(self, examples: Sequence[Example], answers: int | None = None) -> EncodedExamples:
        """`examples` as token sequences; of multiple choice, with places for `answers` (none: the most of any)."""
        shape, vocabulary = self.task.shape, self.objective.model.vocab_size - SPECIAL_TOKENS
        labels = [example.label for example in examples]
        return encode(
            shape,
            tokenize(examples, self.tokenizer),
            labels,
            SpecialTokens.after(vocabulary),
            self.length,
            answers,
            self.task.regression is not None,
        )

    @pinned()
    def evaluate(self, encoded: EncodedExamples) -> tuple[np.ndarray, float]:
        """What `predict` gives for encoded examples, and the mean L2 loss (nats) of those that have a label."""
        if not len(encoded):
            return np.zeros((0, self.objective.outputs)), math.nan
        found, losses, size = [], [], min(self.batch_size, len(encoded))
        for first in range(0, len(encoded), size):
            batch = encoded[np.minimum(np.arange(first, first + size), len(encoded) - 1)]  # the last one, to fill up
            out, loss = predict(self.objective, self.trained, self.frozen, batch.tokens_NKT, batch.labels_N)
            found.append(np.asarray(out, np.float64)[: len(encoded) - first])
            losses.append(np.asarray(loss, np.float64)[: len(encoded) - first])
        labelled_N = ~np.isnan(encoded.labels_N) if self.task.regression else encoded.labels_N >= 0
        loss_N = np.concatenate(losses)[labelled_N]
        return np.concatenate(found), float(loss_N.mean()) if len(loss_N) else math.nan

    def save(self, path: Path) -> None:
        """Writes all parameters, as the tree of parameters.py, to a safetensors file, with what `load` needs."""
        leaves = jax.tree_util.tree_flatten_with_path(parameters.merged(self.trained, self.frozen))[0]
        tensors = {"/".join(key.key for key in key_path): leaf for key_path, leaf in leaves}
        write_tensors(path, tensors, {"length": str(self.length)})


def load(path: Path, task: LabelledTask, config: RunConfig, tokenizer: Tokenizer) -> Classifier:
    """What `Classifier.save` wrote. `config` is the run's, whose model is without the special tokens.

    Raises `InputError` on a missing or damaged file, or one of another model, and on a tokenizer of more entries.
    """
    require_rows(tokenizer, config.model.vocab_size, str(path))
    objective = make_objective(config, task)
    model = dataclasses.replace(config.model, scan_layers=False)
    shapes = jax.eval_shape(lambda: parameters.init(model, objective.outputs, 0))
    expected = jax.tree_util.tree_flatten_with_path(shapes)[0]
    try:
        with safe_open(path, framework="numpy") as file:
            length = int(file.metadata()["length"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): allowed: the file that fine-tuning wrote") from None
    leaves = []
    for key_path, leaf in expected:
        name = "/".join(key.key for key in key_path)
        found = tensors.pop(name, None)
        if found is None or found.shape != leaf.shape:
            given = "missing" if found is None else f"of shape {found.shape}"
            raise InputError(f"{path}: tensor {name!r} is {given}: the run's config asks for {leaf.shape}")
        leaves.append(jnp.asarray(found, leaf.dtype))
    if tensors:
        raise InputError(f"{path}: tensor {min(tensors)!r} is left over: the run's config has none of that name")
    params = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    trained, frozen = parameters.split(config.model, params, "all")
    return Classifier(task, objective, tokenizer, length, trained, frozen)


def make_objective(config: RunConfig, task: LabelledTask) -> Objective:
    """The objective of a run on a task."""
    return Objective.of(
        config.model, config.optimizer, config.finetuning, task.shape, len(task.labels), task.regression
    )
