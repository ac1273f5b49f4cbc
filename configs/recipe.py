"""What a recipe is: a config, with what a person wants to know before starting the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gpt_jax.config import RunConfig


@dataclass(frozen=True)
class Slice:
    """The smallest TPU slice that suits a recipe, how its devices divide the work, and what else changes there."""

    topology: str  # as `compile --topology` takes it
    mesh: str  # as `compile --mesh` takes it
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Milestone:
    """A validation loss (nats/token) that a public run had reached at `step`, and where that is written."""

    step: int
    loss: float
    source: str


@dataclass(frozen=True)
class Recipe:
    """`reaches` is what the finished run should come to, `data` is the text it trains on and what stands in for text
    that is not public. `milestones` tell early whether a run is on its way."""

    name: str
    config: RunConfig
    reaches: str
    data: str
    slice: Slice | None = None
    milestones: tuple[Milestone, ...] = ()
