"""One parameter tree in two layouts: a block per layer, or blocks stacked for the scan over periods."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gpt_jax.config import ModelConfig


def stack_layers(config: ModelConfig, params: dict[str, Any]) -> dict[str, Any]:
    """`block_0 .. block_{L-1}` -> `blocks/block_0 .. block_{P-1}` with a leading axis L / P.

    P is the period of config.attention. Optimizer moments, shaped like the parameters, convert the same way.
    """
    period = config.attention_period
    rest = {name: leaf for name, leaf in params.items() if not name.startswith("block_")}
    blocks = {}
    for n in range(period):
        layers = [params[f"block_{m}"] for m in range(n, config.n_layer, period)]
        blocks[f"block_{n}"] = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)
    return {**rest, "blocks": blocks}


def unstack_layers(config: ModelConfig, params: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `stack_layers`; parameters that are not stacked come back as they are."""
    if "blocks" not in params:
        return params
    period = config.attention_period
    rest = {name: leaf for name, leaf in params.items() if name != "blocks"}
    for m in range(config.n_layer):
        stacked = params["blocks"][f"block_{m % period}"]
        rest[f"block_{m}"] = jax.tree.map(lambda leaf, row=m // period: leaf[row], stacked)
    return rest
