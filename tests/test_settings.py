"""Generation, beams, scoring, training and fine-tuning come out the same, whatever settings of JAX a user has."""

from functools import cache

import jax
import numpy as np
import pytest

from gpt_jax import RunConfig
from gpt_jax.config import OptimizerConfig, TrainingConfig
from gpt_jax.evaluation.inference.beam import beam_search
from gpt_jax.evaluation.inference.encoding import Scored
from gpt_jax.evaluation.inference.scoring import score
from gpt_jax.finetuning.fit import fit
from gpt_jax.generation import generate
from gpt_jax.parallel.lowering import lower_step
from gpt_jax.parallel.mesh import make_mesh
from gpt_jax.training.state import init_state
from tests.evaluation.models import TINY, text_model
from tests.finetuning.tiny import TOKENIZER, examples, run_config, task

ROW = tuple(range(3, 40))
SETTINGS = {
    "usual": {},
    "64 bits": {"jax_enable_x64": True},
    "rbg": {"jax_default_prng_impl": "rbg"},
    "threefry as it was": {"jax_threefry_partitionable": False},
    "no rank promotion": {"jax_numpy_rank_promotion": "raise"},
    "strict types": {"jax_numpy_dtype_promotion": "strict"},
    "NaN checks": {"jax_debug_nans": True},
    "highest": {"jax_default_matmul_precision": "highest"},
    "bfloat16": {"jax_default_matmul_precision": "bfloat16"},
}


def slow(act):
    return pytest.param(act, marks=pytest.mark.slow)


@cache
def a_model():
    return text_model()


def greedy():
    return generate(TINY, a_model().params, [ROW[:5], ROW[:9]], 6, temperature=0)


def sampled():
    return generate(TINY, a_model().params, [ROW[:5], ROW[:9]], 6, top_p=0.9, key=a_key())


@cache
def a_key():
    return jax.random.key(0, impl="threefry2x32")


def beams():
    return beam_search(a_model(), [ROW[:5]], 3, 2, 0.6, np.arange(TINY.vocab_size) == 7)


def scores():
    return score(a_model(), [Scored(ROW, 20), Scored((*ROW[:30], 5, 6), 30), Scored(ROW, 36, (4, 5))])


def training():
    """The losses of two steps, with dropout, and the step's program as it is lowered under the settings."""
    config = RunConfig(
        model=TINY,
        optimizer=OptimizerConfig(learning_rate=1e-2),
        training=TrainingConfig(batch_tokens=2 * 96, train_tokens=4 * 96),
    )
    state, losses = init_state(config), []
    step = compiled_step(config)
    for number in range(2):
        tokens = np.random.default_rng(number).integers(0, 257, (1, 2, 97)).astype(np.int32)
        state, metrics = step(state, tokens, np.float32(0.01), np.uint32(0))
        losses.append(float(metrics["train/loss"]))
    lines = lowered_step(config).as_text().splitlines()
    return losses, [line for line in lines if "@main(" not in line]  # NaN checks donate no arguments


def finetuning():
    """The metrics of every update and epoch of a classifier, and what it predicts, to the last bit."""
    shape, told = "classification", []
    splits = {"train": examples(shape, 16), "validation": examples(shape, 8, 1), "test": examples(shape, 8, 2)}

    def tell(update, metrics):
        told.append((update, {name: float(value) for name, value in metrics.items()}))

    config = run_config(epochs=1, auxiliary_weight=0.5)
    classifier = fit(config, task(shape), splits, TOKENIZER, None, tell, tell)
    return told, np.asarray(classifier.predict(splits["test"])).tolist()


def lowered_step(config):
    return lower_step(config, make_mesh(config.mesh, jax.devices()[:1]), 1, 2)


@cache
def compiled_step(config):
    return lowered_step(config).compile()


@pytest.mark.parametrize("act", [greedy, sampled, beams, scores, finetuning, slow(training)])
def test_the_settings_of_a_user_decide_nothing(act):
    usual = {name: getattr(jax.config, name) for settings in SETTINGS.values() for name in settings}
    a_model()
    a_key()
    expected = act()
    for name, settings in SETTINGS.items():
        try:
            for key, value in settings.items():
                jax.config.update(key, value)
            assert act() == expected, name
        finally:
            for key, value in usual.items():
                jax.config.update(key, value)
