"""What several claims have in common: the base of those on plays; the base, weights and scales of fine-tunings."""

from collections.abc import Callable, Mapping
from typing import Any

import configs
from experiments.experiment import Start
from experiments.sweep import section
from gpt_jax.config import DataConfig, FinetuningConfig, ModelConfig, RunConfig, flatten, override, to_dict

BOOKS = Start("books", "large")  # GPT-1's recipe on novels: what fine-tunings start from
BOOKS_PRE_LN = Start("books", "pre-ln")  # the same decoder with GPT-2's normalisation, at a rate of its own
PLAYS = Start("plays", "decoder", "laptop")  # a small model of the built-in plays: at a laptop's size
WEIGHTS = BOOKS.folder
OTHER_SEEDS = {"training.seed": lambda base: base.training.seed + 1000}  # of an arm that shows what seeds alone do


def on_plays(changes: Mapping[str, Any] | None = None) -> RunConfig:
    """GPT-2's 124M recipe on 38 plays, in float32 and without dropout: arms differ in their claim and in no noise."""
    plays = {
        **section("model", compute_dtype="float32", embedding_dropout=0.0, attention_dropout=0.0, residual_dropout=0.0),
        **section("data", source="shakespeare", tokenizer="sentencepiece", validation_fraction=0.1),
    }
    return override(configs.get("gpt2-124m"), {**plays, **(changes or {})})


def keeping_checkpoints(count: int, steps: int, batch: int) -> dict[str, Any]:
    """Settings of a training of so many steps, all of whose `count` checkpoints, evenly spread, are kept."""
    each = steps // count * batch
    return {
        "optimizer.warmup_tokens": steps // 20 * batch,
        **section(
            "training",
            batch_tokens=batch,
            train_tokens=count * each,
            evaluation_tokens=32_768,
            evaluate_every_tokens=each,
            checkpoint_every_tokens=each,
            sample_every_tokens=count * each,
            keep_last=count,
            keep_best=0,
        ),
    }


def starting_from(start: Start | Callable[[int], Start], instead_of: Start = BOOKS) -> dict[str, Any]:
    """For an arm that starts from `start`, where the others of its scale start from `instead_of`. A function names the
    start of each of the fine-tuning's seeds. Where the user (finetuning.weights=DIR) or the scale names other weights,
    or none, the arm starts from those."""

    def folder(base: RunConfig) -> str | None:
        weights = base.finetuning.weights
        own = start if isinstance(start, Start) else start(base.training.seed)
        return own.folder if weights == instead_of.folder else weights

    return {"finetuning.weights": folder}


def fine_tuning(model: ModelConfig) -> RunConfig:
    """GPT-1's fine-tuning of a pre-trained `model` on TREC. finetuning.weights=DIR takes the weights from elsewhere."""
    settings = FinetuningConfig(task="trec", weights=WEIGHTS)
    return RunConfig(model=model, data=DataConfig(source="local"), finetuning=settings)


def model_of(config: str) -> dict[str, Any]:
    """The settings of a named configuration's model, for an arm."""
    return {f"model.{key}": value for key, value in flatten(to_dict(configs.get(config).model)).items()}


# The rate was chosen before the runs that count, with one seed of 1,500 examples, on the validation split: 2e-4 gave
# 77 %, 5e-4 81 %, 1e-3 83 %, and 2e-3 21 %, where post-LN fails; 1e-3 is too near to that.
CPU = section("finetuning", max_length=24, learning_rate=5e-4)

# On the plays' own task, from the plays' own start: no data and no network are needed. The task is a pilot's
# (docs/LOG.md): from a start as small as this, those that ask for order stayed at chance.
LAPTOP = {
    **model_of("quickstart"),
    "model.vocab_size": 2048,
    **section(
        "finetuning",
        task="play_kind",
        weights=PLAYS.folder,
        max_length=96,
        learning_rate=5e-4,
        validation_examples=300,
    ),
}

# From scratch, on sentences by a small grammar: no weights and no data are needed.
SMOKE = {
    **section("finetuning", task="grammar", weights=None),
    "data.tokenizer": "bytes",
    **section("model", vocab_size=257, context_length=64, n_layer=2, n_head=2, d_model=32),
    **section(
        "finetuning", max_length=56, examples=128, epochs=1, batch_size=16, learning_rate=2e-3, validation_examples=32
    ),
}

# GPT-1 as published (Transformers' openai-gpt, in a folder), with the paper's rate.
PAPER = {**model_of("gpt1"), **section("finetuning", weights="weights/openai-gpt", max_length=64)}
