"""Tiny models with large weights, so that their answers differ, and what they should answer, from the definition."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax import GPT, ModelConfig
from gpt_jax.data.tokenizers import BytesTokenizer
from gpt_jax.evaluation.inference.scoring import TextModel

TINY = ModelConfig(vocab_size=257, context_length=96, n_layer=1, n_head=2, d_model=16, initialization_std=0.3)


@partial(jax.jit, static_argnums=0)
def _forward(config, params, tokens_BT):
    return GPT(config).apply({"params": params}, tokens_BT)


@cache
def text_model(config=TINY, seed=0, digest=""):
    params = jax.jit(GPT(config).init)(jax.random.key(seed), jnp.zeros((1, 4), jnp.int32))["params"]
    return TextModel.of(config, params, BytesTokenizer(), digest)


def log_probs(model, tokens):
    """`log P` of every next token, float64 `(T - 1, V)`: one plain forward pass over one row."""
    padded = np.zeros((1, model.config.context_length), np.int32)  # causal: what follows changes nothing
    padded[0, : len(tokens) - 1] = tokens[:-1]
    logits = np.asarray(_forward(model.config, model.params, padded)[0, : len(tokens) - 1], np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
