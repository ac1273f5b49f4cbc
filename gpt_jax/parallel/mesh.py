"""The device mesh, and batches onto it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding

from gpt_jax.config import MeshConfig
from gpt_jax.errors import InputError
from gpt_jax.sharding import partition

AXES = ("data", "fsdp", "tensor")


def mesh_shape(config: MeshConfig, device_count: int) -> tuple[int, int, int]:
    """The sizes of `AXES`. Raises `InputError` unless their product is the number of devices."""
    asked = config.fsdp * config.tensor
    data = config.data if config.data is not None else max(device_count // asked, 1)
    if data * asked != device_count:
        raise InputError(
            f"mesh: data={data}, fsdp={config.fsdp}, tensor={config.tensor} is not allowed: "
            f"their product must be the {device_count} devices"
        )
    return data, config.fsdp, config.tensor


def make_mesh(config: MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """All devices as a mesh with the axes `AXES`, neighbours in the hardware side by side where it has a shape."""
    devices = jax.devices() if devices is None else devices
    shape = mesh_shape(config, len(devices))
    grid = tpu_grid(shape, devices) if devices[0].platform == "tpu" else np.array(devices).reshape(shape)
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def tpu_grid(shape: tuple[int, int, int], devices: Sequence[Any]) -> np.ndarray:
    """TPU devices as an array of `shape`; of several slices, each has its part of the data axis (the slow network).

    Raises `InputError` unless data is a multiple of the slices.
    """
    slices: dict[int, list[Any]] = {}
    for device in devices:
        slices.setdefault(getattr(device, "slice_index", None) or 0, []).append(device)
    data, count = shape[0], len(slices)
    if data % count:
        raise InputError(f"mesh.data: {data} is not allowed: a multiple of the {count} slices")
    part = (data // count, *shape[1:])
    return np.concatenate(
        [mesh_utils.create_device_mesh(part, devices=some, allow_split_physical_axes=True) for some in slices.values()]
    )


def batch_sharding(mesh: Mesh, shape: Sequence[int]) -> NamedSharding:
    """The sharding of int32 tokens `(B, T + 1)` or `(A, B, T + 1)`."""
    return NamedSharding(mesh, partition(("batch", None), shape, mesh))


def process_rows(mesh: Mesh, batch_size: int) -> slice:
    """The rows of a micro-batch that this process's devices hold: what it has to read."""
    places = batch_sharding(mesh, (batch_size, 1)).addressable_devices_indices_map((batch_size, 1)).values()
    bounds = [index[0].indices(batch_size) for index in places if index is not None]
    return slice(min(start for start, _, _ in bounds), max(stop for _, stop, _ in bounds))


def put_batch(mesh: Mesh, rows: slice, batch_size: int, tokens: np.ndarray) -> jax.Array:
    """This process's `rows` `(..., rows, T + 1)` of a batch, as the global array `(..., batch_size, T + 1)`."""
    shape = (*tokens.shape[:-2], batch_size, tokens.shape[-1])

    def shard(index):
        start, stop, _ = index[-2].indices(batch_size)
        return tokens[..., start - rows.start : stop - rows.start, :]

    return jax.make_array_from_callback(shape, batch_sharding(mesh, shape), shard)


def batch_parts(mesh: Mesh) -> int:
    """How many parts the sequences of a micro-batch are split into: data x fsdp."""
    return math.prod(mesh.shape[axis] for axis in ("data", "fsdp"))


def check_batch(mesh: Mesh, micro_batch: int) -> None:
    """Raises `InputError` where a micro-batch of so many sequences cannot be split over the mesh."""
    parts = batch_parts(mesh)
    if micro_batch % parts:
        raise InputError(
            f"training.micro_batch: {micro_batch} sequences are not allowed: a multiple of data x fsdp = {parts}"
        )
