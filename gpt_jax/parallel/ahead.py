"""Compiles ahead of time, to say what a run would need of chips that are not here. No device is needed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpt_jax.config import MeshConfig, RunConfig
from gpt_jax.errors import InputError, unknown
from gpt_jax.model.costs import parameter_count, train_flops_per_token
from gpt_jax.model.self_attention import attention_computed_by
from gpt_jax.parallel.chips import TPUS
from gpt_jax.parallel.collectives import by_kind, collectives
from gpt_jax.parallel.traffic import predicted
from gpt_jax.training.plan import make_plan

EXECUTED = {"none": 3, "dots": 3, "full": 4}  # forward passes' worth of products in a step: full remat adds one


@dataclass(frozen=True)
class Report:
    """What the compiled training step of a config would need on a topology. Bytes and FLOP are of one device."""

    topology: str
    mesh: dict[str, int]
    devices: int
    parameters: int
    flops_per_token: float  # of the model: what MFU counts
    batch_tokens: int
    micro_batch: int  # sequences over all devices
    accumulation: int
    remat: str
    attention: str
    argument_bytes: int
    temporary_bytes: int
    peak_bytes: int
    memory_bytes: int  # what the chip has
    missing_bytes: int  # 0: it fits
    collectives: dict[str, tuple[int, float]]  # kind -> how many in a step, bytes sent
    predicted: dict[str, float]  # bytes sent, by what they are: parallel/traffic.py
    compute_seconds: float
    memory_seconds: float
    network_seconds: float

    @property
    def fits(self) -> bool:
        return self.missing_bytes == 0

    @property
    def step_seconds(self) -> float:
        """The roofline: the slowest of compute, memory and network, if the others hide behind it."""
        return max(self.compute_seconds, self.memory_seconds, self.network_seconds)

    @property
    def utilisation(self) -> float:
        """The MFU of a step that takes `step_seconds`."""
        model_flops = self.flops_per_token * self.batch_tokens / self.devices
        return model_flops / (self.step_seconds * TPUS[self.topology.partition(":")[0]].flops)


def compile_ahead(
    config: RunConfig, topology: str, *, slices: int = 1, compiler_options: Mapping[str, str] | None = None
) -> Report:
    """Compiles the training step of `config` for a TPU `topology` such as "v5p:8x8x8" over `config.mesh`.

    `compiler_options` are XLA's, by name. Needs libtpu (the extra `tpu`). Raises `InputError` for a topology or mesh
    that does not exist, a batch that the mesh does not divide, or where libtpu is missing.
    """
    import jax

    from gpt_jax.parallel.lowering import lower_step
    from gpt_jax.parallel.mesh import batch_parts, check_batch, make_mesh

    devices = topology_devices(topology, slices)
    chip, mesh = TPUS[topology.partition(":")[0]], make_mesh(config.mesh, devices)
    plan = make_plan(config, batch_parts(mesh))
    check_batch(mesh, plan.micro_batch)
    lowered = lower_step(config, mesh, plan.accumulation, plan.micro_batch)
    flops = train_flops_per_token(config.model)
    executed = flops * EXECUTED[config.model.remat] / 3 * config.training.batch_tokens / len(devices)
    common: dict[str, Any] = {
        "topology": topology,
        "mesh": dict(mesh.shape),
        "devices": len(devices),
        "parameters": parameter_count(config.model),
        "flops_per_token": flops,
        "batch_tokens": config.training.batch_tokens,
        "micro_batch": plan.micro_batch,
        "accumulation": plan.accumulation,
        "remat": config.model.remat,
        "attention": attention_computed_by(config.model, "tpu"),
        "memory_bytes": chip.memory,
        "compute_seconds": executed / chip.flops,
        "predicted": predicted(config, *mesh.shape.values()),
    }
    try:
        compiled = lowered.compile(compiler_options=dict(compiler_options or {}))
    except jax.errors.JaxRuntimeError as error:
        wanted = _exhausted(str(error))
        if wanted is None:
            raise InputError(f"--topology: {topology!r}: the compiler refused: {str(error).splitlines()[0]}") from None
        return Report(
            **common,
            argument_bytes=0,
            temporary_bytes=wanted,
            peak_bytes=wanted,
            collectives={},
            memory_seconds=0.0,
            missing_bytes=max(wanted - chip.memory, 1),
            network_seconds=0.0,
        )
    memory: Any = compiled.memory_analysis()
    sent = by_kind(collectives(compiled.as_text() or ""))
    passes = 2 * plan.accumulation  # weights are read forward and backward, at least; moments once
    touched = memory.argument_size_in_bytes * (2 + passes / 3)
    return Report(
        **common,
        argument_bytes=memory.argument_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        peak_bytes=memory.peak_memory_in_bytes,
        missing_bytes=max(memory.peak_memory_in_bytes - chip.memory, 0),
        collectives=sent,
        memory_seconds=touched / chip.memory_rate,
        network_seconds=sum(b for _, b in sent.values()) / chip.link_rate,
    )


def parse_mesh(text: str) -> MeshConfig:
    """Reads "data=1,fsdp=16,tensor=1". An axis without a name is 1, and data what is left. Raises `InputError`."""
    sizes: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, size = part.partition("=")
        if name not in ("data", "fsdp", "tensor"):
            raise unknown("--mesh", name, ("data", "fsdp", "tensor"))
        if not size.isdigit() or int(size) < 1 or name in sizes:
            raise InputError(f"--mesh: {part!r} is not allowed: each axis once, as NAME=SIZE, SIZE at least 1")
        sizes[name] = int(size)
    return MeshConfig(**sizes)


def topology_devices(topology: str, slices: int = 1) -> list[Any]:
    """The devices of a TPU topology. Raises `InputError`."""
    version, _, shape = topology.partition(":")
    if version not in TPUS or not re.fullmatch(r"\d+x\d+(x\d+)?", shape):
        raise unknown(
            "--topology", topology, [f"{name}:4x4" + "x4" * (name in ("v4", "v5p", "tpu7x")) for name in TPUS]
        )
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    from jax.experimental import topologies

    options: dict[str, Any] = {"chip_config_name": "megacore"} if version == "v4" else {}
    if slices > 1:
        options["num_slices"] = slices
    try:
        return list(topologies.get_topology_desc(platform="tpu", topology_name=topology, **options).devices)
    except Exception as error:  # libtpu is absent, or knows no such shape
        reason = str(error).strip().splitlines()[0][:200]
        raise InputError(
            f"--topology: {topology!r} is not allowed: {reason} (needs libtpu: pip install 'gpt-jax[tpu]')"
        ) from None


def _exhausted(message: str) -> int | None:
    """The bytes that a program wanted, from the compiler's complaint; None if it complained of something else."""
    if "RESOURCE_EXHAUSTED" not in message and "Ran out of memory" not in message:
        return None
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    sizes = re.findall(r"([\d.]+)([KMGT]?)(?:iB|B)?\b(?=\)| of| exceeds|,|\.|\s)", message)
    return max((int(float(n.rstrip(".")) * units[u]) for n, u in sizes if n.strip(".")), default=1)
