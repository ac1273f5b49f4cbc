"""The first thing to run."""

from gpt_jax.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, TrainingConfig
from gpt_jax.model.patterns import Dense


def quickstart() -> RunConfig:
    """A small GPT-2 on 38 plays of Shakespeare."""
    context, sequences, steps = 128, 32, 1000
    batch = context * sequences
    return RunConfig(
        model=ModelConfig(
            vocab_size=4096, context_length=context, n_layer=4, n_head=4, d_model=192,
            norm="pre", attention=(Dense(),), initialization="gpt2",
            embedding_dropout=0.0, attention_dropout=0.0, residual_dropout=0.0,
        ),
        data=DataConfig(source="shakespeare", tokenizer="sentencepiece", validation_fraction=0.1),
        optimizer=OptimizerConfig(
            learning_rate=3e-3, b1=0.9, b2=0.99, weight_decay=0.1, clip_norm=1.0,
            schedule="cosine", warmup_tokens=50 * batch, final_fraction=0.0,
        ),
        training=TrainingConfig(
            train_tokens=steps * batch, batch_tokens=batch,
            evaluate_every_tokens=steps * batch // 5, checkpoint_every_tokens=steps * batch // 5,
            sample_every_tokens=steps * batch // 5, evaluation_tokens=20_000, sample_tokens=80,
        ),
    )  # fmt: skip
