"""The first thing to run."""

from configs.recipe import Recipe, Slice
from gpt_jax.attention.patterns import Dense
from gpt_jax.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, TrainingConfig


def quickstart() -> RunConfig:
    """A small GPT-2 that learns from 38 plays of Shakespeare while you watch.

    `python -m experiments run quickstart` reaches about 2.4 bits/byte on plays it has not seen, in 1.4 to 2.5 minutes
    on 2 quiet cores, with the training of the tokenizer. On the char-rnn text (--data-dir, its last
    10 % held out) it reaches 2.39; nanoGPT's README gives its preset for a CPU 1.88 nats a character there, or 2.71.

    The model's width is a sixth of GPT-2's, and so are its sums. Its weights start at std 0.06, where GPT-2's start at
    0.02. Text is seen about once, so there is no dropout. Products have bfloat16 operands and float32 sums.
    """
    context, sequences, steps = 128, 8, 600
    batch = context * sequences
    return RunConfig(
        model=ModelConfig(
            vocab_size=4096,
            context_length=context,
            n_layer=4,
            n_head=4,
            d_model=128,
            norm="pre",
            attention=(Dense(),),
            initialization="gpt2",
            initialization_std=0.06,
            embedding_dropout=0.0,
            attention_dropout=0.0,
            residual_dropout=0.0,
            matmul_dtype="bfloat16",
        ),
        data=DataConfig(source="shakespeare", tokenizer="sentencepiece", validation_fraction=0.1),
        optimizer=OptimizerConfig(
            learning_rate=2.5e-3,
            b1=0.9,
            b2=0.99,
            weight_decay=0.1,
            clip_norm=1.0,
            schedule="cosine",
            warmup_tokens=30 * batch,
            final_fraction=0.0,
        ),
        training=TrainingConfig(
            train_tokens=steps * batch,
            batch_tokens=batch,
            evaluate_every_tokens=steps * batch // 3,
            checkpoint_every_tokens=steps * batch // 3,
            sample_every_tokens=steps * batch // 3,
            sample_tokens=80,
        ),
    )


RECIPES = {
    "quickstart": lambda: Recipe(
        "quickstart",
        quickstart(),
        reaches="about 2.4 bits/byte on plays that it has not seen, in one to two and a half minutes of two CPU cores",
        data="38 plays of Shakespeare, built in",
        slice=Slice("v5e:2x2", "data=4"),
    )
}
