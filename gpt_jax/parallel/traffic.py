"""The bytes that a training step moves between devices, from the mesh and the model. It is docs/SCALING.md in code."""

from __future__ import annotations

from gpt_jax.config import RunConfig
from gpt_jax.model.costs import parameter_count
from gpt_jax.training.objectives import chunk_of
from gpt_jax.training.plan import make_plan


def predicted(config: RunConfig, data: int, fsdp: int, tensor: int) -> dict[str, float]:
    """Bytes that a device sends in a step, by what they are: "weights", "gradients", "head", "activations".

    Weights travel in the type of the products, gradients in float32, activations in the compute type. A ring among n
    devices sends (n - 1) / n of what it gathers or scatters.
    """
    model, plan = config.model, make_plan(config, data * fsdp)
    item = 2 if "bfloat16" in (model.compute_dtype, model.matmul_dtype) else 4
    ring = lambda n: (n - 1) / n  # noqa: E731
    micro = plan.accumulation
    table = model.vocab_size * model.d_model / tensor
    tables = (model.vocab_size * (1 if model.tie_embeddings else 2) + model.context_length) * model.d_model
    blocks = (parameter_count(model) - tables) / tensor
    local = plan.micro_batch // (data * fsdp)  # sequences
    stream = local * model.context_length * model.d_model * (2 if model.compute_dtype == "bfloat16" else 4)
    full = model.remat == "full"
    gathers, scatters = (7, 5) if full else (4, 4)  # of the stream, for a block
    chunk = chunk_of(model, plan.micro_batch, model.context_length, data * fsdp * tensor)
    chunks = -(-model.context_length // chunk)
    return {
        "weights": micro * 2 * item * blocks * ring(fsdp),
        "gradients": micro * 4 * (blocks * ring(fsdp) + 2 * (blocks + tables / tensor) / fsdp * ring(data)),
        "head": micro * (item + 4 * chunks) * table * ring(fsdp),
        "activations": micro * model.n_layer * (gathers + scatters) * stream * ring(tensor),
    }
