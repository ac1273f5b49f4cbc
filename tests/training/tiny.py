"""A run small enough for a test."""

from gpt_jax.config import RunConfig, override

TINY = override(
    RunConfig(),
    {
        "model.vocab_size": 257,
        "model.context_length": 16,
        "model.n_layer": 2,
        "model.n_head": 2,
        "model.d_model": 16,
        "model.embedding_dropout": 0.0,
        "model.attention_dropout": 0.0,
        "model.residual_dropout": 0.0,
        "data.tokenizer": "bytes",
        "data.source": "local",
        "optimizer.learning_rate": 1e-2,
        "optimizer.epsilon": 1e-4,
        "training.batch_tokens": 64,
        "training.train_tokens": 64 * 12,
        "training.evaluate_every_tokens": 64 * 4,
        "training.checkpoint_every_tokens": 64 * 4,
        "training.sample_every_tokens": 64 * 4,
        "training.sample_tokens": 8,
    },
)
