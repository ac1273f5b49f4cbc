"""The gradient in each layer, at the start of training and some updates later (Xiong et al. 2020, Figure 3)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from experiments.experiment import FinishedRun
from gpt_jax.config import ModelConfig


def measure(run: FinishedRun, steps: int) -> dict[str, float | list[float]]:
    """On a batch of validation text, with initial parameters and with those of the checkpoint after `steps` updates:
    each layer's norm as a list, first layer first, and its slope over the layers. The run keeps that checkpoint."""
    import jax

    from experiments.measurements.initial_gradient import validation_batch
    from gpt_jax.loading import restore
    from gpt_jax.training.state import init_state

    assert run.folder is not None
    model = run.config.model
    tokens_BT1 = validation_batch(model, run.corpus)
    metrics: dict[str, float | list[float]] = {}
    for when, params in (
        ("start", jax.jit(partial(init_state, run.config))().params),
        (f"step_{steps}", restore(run.config, run.folder, lambda line: None, steps).params),
    ):
        norms = layer_norms(model, params, tokens_BT1)
        metrics |= {f"layer_gradient/{when}": norms, f"layer_gradient/{when}_slope": slope(norms)}
    return metrics


def layer_norms(model: ModelConfig, params: Any, tokens_BT1: np.ndarray) -> list[float]:
    """Per layer, the Frobenius norm of d loss / d W in nats/token, W the layer's second feed-forward matrix."""
    import jax
    import jax.numpy as jnp

    from gpt_jax.model.layers_layout import unstack_layers
    from gpt_jax.training.objectives import language_model_loss

    @jax.jit
    def norms(params):
        gradients = jax.grad(lambda params: language_model_loss(model, params, jnp.asarray(tokens_BT1)))(params)
        blocks = unstack_layers(model, gradients)
        return [jnp.linalg.norm(blocks[f"block_{n}"]["mlp"]["down"]["kernel"]) for n in range(model.n_layer)]

    scored = int((tokens_BT1[:, 1:] >= 0).sum())
    return [float(norm) / scored for norm in norms(params)]


def slope(norms: list[float]) -> float:
    """How much ln norm rises from the first layer to the last, by a straight line: above 0 where the last gradients are
    the largest."""
    place = np.linspace(0.0, 1.0, len(norms))
    return float(np.polyfit(place, np.log(norms), 1)[0])
