"""What lies where: logical axes, the mesh axes they are split over, and the axes of every parameter by its name.

    batch   the sequences of a micro-batch            over data and fsdp
    width   of activations between blocks             over tensor
    heads, mlp, vocab   inside a block, and the head  over tensor      (Megatron's columns and rows)
    embed   the model width of a parameter            over fsdp        (ZeRO: gathered where it is used)
    table   the width of an embedding's rows          over fsdp and tensor
    replica the batch where a table is looked up      over data

An axis that a mesh axis does not divide stays whole. `constrain` names an activation's axes where the model computes
it, and does nothing outside a mesh.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

RULES: dict[str, tuple[str, ...]] = {
    "batch": ("data", "fsdp"),
    "time": ("tensor",),
    "width": ("tensor",),
    "heads": ("tensor",),
    "mlp": ("tensor",),
    "vocab": ("tensor",),
    "embed": ("fsdp",),
    "table": ("fsdp", "tensor"),
    "replica": ("data",),
}

# The end of a parameter's path, and its axes; a scan's axis of layers comes before them. Gains, biases of the model's
# width and whatever else is not named are small, and whole on every device.
PARAMETERS: dict[str, tuple[str | None, ...]] = {
    "wte": (None, "table"),
    "wpe": (None, "table"),
    "lm_head": (None, "table"),
    "qkv/kernel": ("embed", None, "heads", None),
    "qkv/bias": (None, "heads", None),
    "out/kernel": ("heads", None, "embed"),
    "up/kernel": ("embed", "mlp"),
    "up/bias": ("mlp",),
    "down/kernel": ("mlp", "embed"),
}


def partition(axes: Sequence[str | None], shape: Sequence[int], mesh: Mesh | AbstractMesh) -> PartitionSpec:
    """How an array of `shape` is split over `mesh`. The logical `axes` are those of its last dimensions."""
    spec: list[Any] = [None] * (len(shape) - len(axes))
    for axis, size in zip(axes, shape[len(shape) - len(axes) :], strict=True):
        over = tuple(name for name in RULES.get(axis or "", ()) if name in mesh.shape)
        while over and size % math.prod(mesh.shape[name] for name in over):
            over = over[:-1]
        spec.append(over or None)
    return PartitionSpec(*spec)


def mesh_in_use() -> AbstractMesh | None:
    """The mesh of `jax.set_mesh`, or None if there is none or it has a single device. None too within a `shard_map`
    over all of its axes, where each device computes by itself."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh if mesh.shape and mesh.size > 1 and not mesh.are_all_axes_manual else None


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
    """`x`, laid out over the mesh in use by its logical `axes`. Without a mesh, `x` itself."""
    mesh = mesh_in_use()
    return x if mesh is None or not axes else jax.lax.with_sharding_constraint(x, partition(axes, x.shape, mesh))


def splits_stream() -> bool:
    """Whether the mesh in use splits the stream between blocks over `tensor`, so that products gather it."""
    mesh = mesh_in_use()
    return mesh is not None and mesh.shape.get("tensor", 1) > 1


def per_device(function: Callable[..., jax.Array], axes: Sequence[str | None]) -> Callable[..., jax.Array]:
    """`function` of arrays that all have these logical `axes`, on each device's part of them: for kernels, which the
    partitioner cannot see into. Outside a mesh, `function` itself."""
    mesh = mesh_in_use()
    if mesh is None:
        return function

    def run(*arrays: jax.Array) -> jax.Array:
        spec = partition(axes, arrays[0].shape, mesh)
        return jax.shard_map(function, in_specs=spec, out_specs=spec, check_vma=False)(*arrays)

    return run


def platform() -> str:
    """The platform of the mesh in use, which may be compiled for from elsewhere; else this process's own."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return jax.default_backend() if device is None else device.platform


def on_cuda() -> bool:
    return platform() in ("cuda", "gpu")  # JAX says the one or the other


def state_shardings(state: Any, mesh: Mesh | AbstractMesh) -> Any:
    """A sharding for every array of a `TrainState`, or of parameters; moments lie where their parameters do."""

    def sharding(path, leaf):
        name = "/".join(str(getattr(key, "key", getattr(key, "name", key))) for key in path)
        axes = next((axes for end, axes in PARAMETERS.items() if f"/{name}".endswith(f"/{end}")), ())
        return NamedSharding(mesh, partition(axes, leaf.shape, mesh))

    return jax.tree_util.tree_map_with_path(sharding, state)


def shaped(tree: Any, shardings: Any) -> Any:
    """ShapeDtypeStructs of `tree` with `shardings`: what a compiler, or a checkpoint's reader, needs to know."""
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, shardings)
