"""Checkpoints by Orbax: written in the background and atomically, the newest and the best kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from gpt_jax.errors import InputError


class Checkpoints:
    """The `checkpoints/` folder of a run: one folder per step, holding "state" (arrays) and "meta" (JSON).

    `meta` says what the arrays belong to (digests, seed, tokens): the data position is the step itself.
    """

    def __init__(self, folder: Path, keep_last: int = 2, keep_best: int = 1):
        policies: list[managers.PreservationPolicy] = [managers.LatestN(keep_last)]
        if keep_best:
            policies.append(managers.BestN(get_metric_fn=lambda metrics: metrics["loss"], reverse=True, n=keep_best))
        options = ocp.CheckpointManagerOptions(
            preservation_policy=managers.AnyPreservationPolicy(policies),
            save_decision_policy=managers.FixedIntervalPolicy(1),
            enable_async_checkpointing=True,
            create=True,
        )
        self.folder = folder
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options, item_names=("state", "meta"))

    def save(self, step: int, state: Any, meta: dict[str, Any], loss: float | None) -> None:
        """Starts writing `state`; returns once it may be donated. `loss` (validation) ranks it; none: last."""
        if step in self._manager.all_steps():
            return
        if jax.default_backend() == "cpu":  # the writer reads host memory in place, and donation reuses it
            state = jax.tree.map(jnp.copy, state)
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
        metrics = {"loss": float("inf") if loss is None else loss}
        self._manager.save(step, args=items, metrics=metrics, force=True)

    def steps(self) -> list[int]:
        """The steps that were written whole, ascending."""
        return sorted(self._manager.all_steps())

    def meta(self, step: int) -> dict[str, Any]:
        return self._manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]

    def restore(
        self,
        like: Any,
        report: Callable[[str], None] = lambda line: None,
        discard: bool = True,
        steps: Sequence[int] | None = None,
    ) -> tuple[Any, dict[str, Any]] | None:
        """The newest whole state shaped as `like` (arrays or ShapeDtypeStructs), and its meta; None if there is none.

        `steps` None means all there are. A step that cannot be read is named through `report` and passed over for the
        one before it; `discard` removes it, so that it can be written again. Raises `InputError` when steps exist and
        none can be read.
        """
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        for step in reversed(self.steps() if steps is None else sorted(steps)):
            items = ocp.args.Composite(state=ocp.args.StandardRestore(shapes), meta=ocp.args.JsonRestore())
            try:
                restored = self._manager.restore(step, args=items)
                return restored["state"], restored["meta"]
            except Exception as error:  # whatever a damaged file makes the reader raise
                reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
                report(f"checkpoint {self.folder / str(step)} cannot be read and is passed over: {reason}")
                damaged = step
                if discard:
                    (self.folder / str(step)).rename(self.folder / f"damaged-{step}")
                    self._manager.reload()
        if "damaged" in locals():
            raise InputError(f"{self.folder}: no checkpoint can be read: remove the folder to start again")
        return None

    def wait(self) -> None:
        """Returns when everything is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        self._manager.close()
