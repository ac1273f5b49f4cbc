"""What a fine-tuning starts from: a task, its examples, and the weights and tokenizer of a language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from experiments.corpora import grammar
from experiments.runs.weights import load_model
from gpt_jax.config import RunConfig
from gpt_jax.data.pairs import shifted
from gpt_jax.data.public_files import Files
from gpt_jax.data.tasks import Example, LabelledTask, load_task
from gpt_jax.data.tokenizers import Tokenizer, make_tokenizer
from gpt_jax.disk import digest_of
from gpt_jax.errors import InputError
from gpt_jax.model.layers_layout import unstack_layers

# What the shape of the weights depends on; the rest of a model's config may differ from the pre-trained one's.
SHAPE = (
    "architecture",
    "vocab_size",
    "context_length",
    "n_layer",
    "n_head",
    "d_model",
    "head_width",
    "mlp_width",
    "norm",
    "layer_norm_epsilon",
    "attention",
    "tie_embeddings",
)


@dataclass(frozen=True)
class TaskData:
    """A task and its examples by split. `copies`: how many examples each test split lost, being trained on too."""

    task: LabelledTask
    splits: Mapping[str, Sequence[Example]]
    digest: str  # of the examples
    copies: Mapping[str, int]


@dataclass(frozen=True)
class Materials(TaskData):
    """What a fine-tuning starts from, read and checked."""

    tokenizer: Tokenizer
    pretrained: Any  # the language model's parameters, blocks unrolled; None: from scratch


@lru_cache(maxsize=4)
def read_task(name: str, data_dir: Path | None) -> TaskData:
    """A task, its examples by split, and their digest."""
    copies: dict[str, int] = {}
    if name == grammar.NAME:
        task, splits = grammar.load()
    elif name in shifted.pair_names():
        task, splits, copies = shifted.load_pair(name, Files(data_dir))
    else:
        task, splits = load_task(name, data_dir)
    rows = {split: [[*e.texts, e.label, e.group] for e in examples] for split, examples in splits.items()}
    return TaskData(task, splits, digest_of([task.name, task.shape, list(task.labels), rows]), copies)


_load = lru_cache(maxsize=2)(load_model)  # one sweep reads its weights once


def gather(config: RunConfig, data_dir: Path | None) -> Materials:
    """Reads the task and the weights that `config.finetuning` names. Raises `InputError`.

    From scratch, the tokenizer is data.tokenizer, trained if need be on the training texts.
    """
    settings = config.finetuning
    data = read_task(str(settings.task), data_dir)
    if settings.weights is None:
        texts = lambda: (text for example in data.splits["train"] for text in example.texts)  # noqa: E731
        tokenizer = make_tokenizer(config.data.tokenizer, config.model.vocab_size, texts)
        return Materials(**vars(data), tokenizer=tokenizer, pretrained=None)
    model = _load(Path(settings.weights))
    for name in SHAPE:
        theirs, ours = (getattr(m, name) for m in (model.config, config.model))
        if theirs != ours:
            raise InputError(f"finetuning.weights: {settings.weights} has {name} {theirs!r}, not {ours!r}")
    pretrained = unstack_layers(model.config, model.params)
    return Materials(**vars(data), tokenizer=model.tokenizer, pretrained=pretrained)
