"""How devices divide the work."""

from __future__ import annotations

from dataclasses import dataclass

from gpt_jax.config.checks import Checks


@dataclass(frozen=True)
class MeshConfig:
    """How devices divide the work: `data` x `fsdp` x `tensor` of them (parallel/sharding.py says what over which).

    `data` none: as many as are left. The mesh decides where numbers are, not which: a run may go on with another one.
    """

    data: int | None = None
    fsdp: int = 1
    tensor: int = 1

    def __post_init__(self):
        check = Checks(self, "mesh")
        check.at_least(1, "data", "fsdp", "tensor")
        check.at_most(1_000_000, "data", "fsdp", "tensor")
