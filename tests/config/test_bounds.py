"""Numbers with too many zeros are refused where they are given, at once."""

import time
import tracemalloc
from typing import Any

import numpy as np
import pytest

import configs
from gpt_jax.config import ModelConfig, RunConfig, digest, override
from gpt_jax.errors import InputError
from gpt_jax.training.plan import make_plan


@pytest.mark.parametrize(
    "change",
    [
        "training.train_tokens=1e15",
        "training.train_tokens=1e30",
        "model.n_layer=1e9",
        "model.vocab_size=1e12",
        "model.d_model=1e15",
        "model.context_length=1e12",
        "model.d_ff=1e18",
        "model.n_head=1e10",
        "training.sample_tokens=1e9",
        "training.evaluation_tokens=1e16",
        "training.keep_last=1e9",
        "training.batch_ramp_tokens=1e17",
        "training.seed=1e18",
        "optimizer.warmup_tokens=1e15",
        "mesh.fsdp=1e9",
        "finetuning.epochs=1e9",
        "finetuning.batch_size=1e9",
        "finetuning.examples=1e12",
        "finetuning.max_length=1e15",
        "finetuning.patience=1e9",
    ],
)
def test_an_absurd_number_is_one_line_at_once(change: str):
    key, value = change.split("=")
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(InputError, match=rf"^{key}: .* is not allowed: at most") as error:
        override(RunConfig(), {key: value})
    assert time.perf_counter() - start < 1
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert "\n" not in str(error.value)


def test_a_ramp_that_starts_with_one_sequence_counts_its_steps():
    changes = {"training.batch_ramp_start": 1, "training.batch_ramp_tokens": 10**12, "training.train_tokens": 10**12}
    with pytest.raises(InputError, match=r"training\.train_tokens: "):
        make_plan(override(RunConfig(), changes))


@pytest.mark.parametrize("name", configs.names())
def test_every_recipe_is_far_from_the_bounds(name: str):
    config = configs.get(name)
    assert make_plan(config).steps <= 1_000_000


def test_numbers_of_numpy_are_numbers():
    given: dict[str, Any] = {"n_layer": np.int64(3), "layer_norm_epsilon": np.float32(0.5)}
    config = ModelConfig(**given)
    assert digest(config) == digest(ModelConfig(n_layer=3, layer_norm_epsilon=0.5)) and type(config.n_layer) is int
