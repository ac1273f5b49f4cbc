"""Run as a program on 8 fake CPU devices: trains tiny models on meshes and prints what came of it, as JSON.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python tests/parallel/eight_devices.py MODELS MESHES
"""

import json
import sys
from typing import Any

import jax
import numpy as np

from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Strided
from gpt_jax.config import MeshConfig, ModelConfig, OptimizerConfig, RunConfig, TrainingConfig
from gpt_jax.parallel.lowering import lower_step
from gpt_jax.parallel.mesh import make_mesh, put_batch
from gpt_jax.sharding import state_shardings
from gpt_jax.training.state import init_state

STEPS, BATCH, LENGTH = 5, 8, 16
SHAPE: dict[str, Any] = dict(  # 8 divides what the axes split; the vocabulary it does not
    vocab_size=61,
    context_length=LENGTH,
    n_head=8,
    d_model=32,
    d_head=4,
    d_ff=64,
    embedding_dropout=0.0,
    attention_dropout=0.0,
    residual_dropout=0.0,
)
PATTERNS = (Dense(), Banded(window=3), Strided(stride=3), Fixed(block=4, summary=1), LogSparse(window=2))
MODELS = {
    "gpt1": ModelConfig(**SHAPE, n_layer=2, norm="post", initialization="gpt1"),
    "gpt2": ModelConfig(**SHAPE, n_layer=2, loss_chunk=5),
    "gpt2-untied": ModelConfig(**SHAPE, n_layer=1, tie_embeddings=False),
    "gpt3": ModelConfig(**SHAPE, n_layer=5, attention=PATTERNS),
    "gpt3-scan": ModelConfig(**SHAPE, n_layer=4, attention=(Dense(), Banded(window=3)), scan_layers=True, remat="full"),
    **{
        f"gpt3-{type(p).__name__}": ModelConfig(**SHAPE, n_layer=4, attention=(p,), scan_layers=True, remat="dots")
        for p in PATTERNS
    },
}


def run_config(model: ModelConfig) -> RunConfig:
    return RunConfig(
        model=model,
        optimizer=OptimizerConfig(learning_rate=1e-2, epsilon=1e-4),
        training=TrainingConfig(batch_tokens=BATCH * LENGTH, train_tokens=STEPS * BATCH * LENGTH),
    )


def train(config: RunConfig, mesh_config: MeshConfig, accumulation: int = 1) -> tuple[list[float], dict, str]:
    """The losses, the final parameters on one host, and the compiled module's text."""
    count = 8 if mesh_config.data is None else mesh_config.data * mesh_config.fsdp * mesh_config.tensor
    mesh = make_mesh(mesh_config, jax.devices()[:count])
    micro = BATCH // accumulation
    step = lower_step(config, mesh, accumulation, micro).compile()
    shardings = state_shardings(jax.eval_shape(lambda: init_state(config)), mesh)
    with jax.set_mesh(mesh):
        state = jax.jit(lambda seed: init_state(config, seed), out_shardings=shardings)(np.uint32(0))
        tokens = np.random.default_rng(0).integers(0, 61, (STEPS, accumulation, micro, LENGTH + 1)).astype(np.int32)
        losses = []
        for batch in tokens:
            batch = put_batch(mesh, slice(0, micro), micro, batch)
            state, metrics = step(state, batch, np.float32(config.optimizer.learning_rate), np.uint32(0))
            losses.append(float(metrics["train/loss"]))
    return losses, jax.device_get(state.params), step.as_text() or ""


def main(models: list[str], meshes: list[tuple[int, int, int]]) -> dict:
    out = {}
    for name in models:
        config = run_config(MODELS[name])
        losses, params, _ = train(config, MeshConfig(1, 1, 1))
        out[name] = {"losses": losses}
        for data, fsdp, tensor in meshes:
            theirs, other, hlo = train(config, MeshConfig(data, fsdp, tensor))
            gaps = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), params, other)
            out[name][f"{data}x{fsdp}x{tensor}"] = {
                "losses": theirs,
                "largest parameter gap": max(jax.tree.leaves(gaps)),
                "hlo": hlo,
            }
    return out


if __name__ == "__main__":
    chosen = [tuple(int(n) for n in mesh.split("x")) for mesh in sys.argv[2].split(",")]
    json.dump(main(sys.argv[1].split(","), chosen), sys.stdout)  # type: ignore[arg-type]
