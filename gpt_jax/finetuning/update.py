"""The compiled programs of fine-tuning, and its learning rates. Arms and seeds of one shape share one program."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np

from gpt_jax.config import FinetuningConfig
from gpt_jax.finetuning.objective import Objective, forward, losses, predictions, supervised_losses
from gpt_jax.finetuning.parameters import Params, joined, merged
from gpt_jax.training.state import DROPOUT, TrainState, purpose_key
from gpt_jax.training.step import updated


def update(
    o: Objective,
    state: TrainState,
    frozen: Params,
    tokens_BKT: jax.Array,
    labels_B: jax.Array,
    rate: jax.Array,
    auxiliary_weight: jax.Array,
    seed: jax.Array,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One update of `state.params`, the part of `parameters.split` that trains. `frozen` is only read.

    Metrics: "loss" (L3), "supervised_loss", "auxiliary_loss" (nats) and "gradient_norm" (before the clip).
    """
    key = jax.random.fold_in(purpose_key(seed, DROPOUT), state.step)

    def loss(trained: Params):
        return losses(o, joined(merged(trained, frozen)), tokens_BKT, labels_B, auxiliary_weight, key)

    (total, parts), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
    state, norm = updated(o.optimizer, state, grads, rate)
    return state, {"loss": total, **parts, "gradient_norm": norm}


finetuning_step = jax.jit(update, static_argnums=0, donate_argnums=1)


@partial(jax.jit, static_argnums=0)
def predict(
    o: Objective, trained: Params, frozen: Params, tokens_BKT: jax.Array, labels_B: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(predictions, L2 losses `(B,)`) without dropout; the losses of examples without a label mean nothing."""
    scores_BC, _, _ = forward(o, joined(merged(trained, frozen)), tokens_BKT)
    return predictions(o, scores_BC), supervised_losses(o, scores_BC, labels_B)


def learning_rates(config: FinetuningConfig, updates: int) -> np.ndarray:
    """The learning rate of each update t = 0 .. T - 1, float64 `(T,)`; w is warmup_fraction.

    "linear": min((t + 1) / (w T), (T - t) / (T - w T), 1). "released", warmup_linear of opt.py in
    openai/finetune-transformer-lm: (x / w where x <= w, else 1) (1 - x), x = t / T, so that the first update is of
    rate 0.
    """
    t, w = np.arange(updates, dtype=np.float64), config.warmup_fraction
    if config.schedule == "released":
        x = t / updates
        return config.learning_rate * np.where(x < w, x / w if w else 1.0, 1.0) * (1 - x)
    warm = (t + 1) / (w * updates) if w else np.ones_like(t)
    return config.learning_rate * np.minimum(1, np.minimum(warm, (updates - t) / (updates - w * updates)))
