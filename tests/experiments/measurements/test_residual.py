"""What layers add at initialisation, against a sum of the blocks' outputs made one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.measurements.residual import norm_at
from gpt_jax import GPT
from gpt_jax.config import ModelConfig
from gpt_jax.model.decoder import Block
from gpt_jax.model.layers_layout import unstack_layers

MODEL = ModelConfig(
    vocab_size=31, context_length=8, n_layer=2, n_head=2, d_model=16, initialization_std=0.14,
    embedding_dropout=0, attention_dropout=0, residual_dropout=0,
)  # fmt: skip
TOKENS = np.random.default_rng(0).integers(0, 31, (4, 8)).astype(np.int32)


def test_the_norm_is_that_of_the_blocks_sum_over_the_embeddings():
    scanned = dataclasses.replace(MODEL, scan_layers=True)

    @jax.jit
    def one_by_one(key):
        params = unstack_layers(scanned, dict(GPT(scanned).init(key, jnp.zeros((1, 1), jnp.int32))["params"]))
        first = x = params["wte"][TOKENS] + params["wpe"][:8]
        for n in range(2):
            x, _ = Block(MODEL, MODEL.pattern(n)).apply({"params": params[f"block_{n}"]}, x, None, None, True)  # type: ignore[misc]
        return jnp.linalg.norm(x - first) / jnp.linalg.norm(first)

    expected = float(one_by_one(jax.random.fold_in(jax.random.key(3), 0)))
    assert norm_at(MODEL, 3, TOKENS) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_layers_add_up_like_the_square_root_of_their_number_without_the_factor_only():
    norms = {
        name: [norm_at(dataclasses.replace(MODEL, initialization=name, n_layer=n), 0, TOKENS) for n in (1, 8)]
        for name in ("gpt2", "gpt2-unscaled")
    }
    assert norms["gpt2"][1] / norms["gpt2"][0] < 1.5
    assert 2 < norms["gpt2-unscaled"][1] / norms["gpt2-unscaled"][0] < 4
