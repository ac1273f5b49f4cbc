"""How devices divide the work."""

from __future__ import annotations

from dataclasses import dataclass

from gpt_jax.config.checks import require


@dataclass(frozen=True)
class MeshConfig:
    """How devices divide the work: `data` x `fsdp` x `tensor` of them (parallel/sharding.py says what over which).

    `data` none: as many as are left. The mesh decides where numbers are, not which: a run may go on with another one.
    """

    data: int | None = None
    fsdp: int = 1
    tensor: int = 1

    def __post_init__(self):
        for name in ("data", "fsdp", "tensor"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"mesh.{name}", value, "at least 1")
