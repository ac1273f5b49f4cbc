"""Checkpoints by Orbax: written in the background and atomically, checked by digests, the newest and the best kept.

Neither Orbax nor TensorStore keeps a checksum of the arrays it writes, so a flipped bit would be trained on. Each step
folder therefore holds `digests.json`: size and SHA-256 of its files, written after them and before the step gets its
name. Orbax's own `_CHECKPOINT_METADATA` is changed after that and is left out: it decides no number.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as managers
from orbax.checkpoint._src.multihost import multihost

from gpt_jax.disk import read_json, sha256, write_atomically
from gpt_jax.errors import InputError

DIGESTS = "digests.json"
MARK = "commit_success.txt"  # Orbax's, of a step that was written whole
UNDIGESTED = (DIGESTS, MARK, "_CHECKPOINT_METADATA")
UNFINISHED = ".orbax-checkpoint-tmp"  # in the name of a step's folder until it is whole
MOST_NAMED = 4  # arrays, in an error
# Seconds, ten years. Orbax measures its waits by the wall clock: one that is set forward in a save would end the run. A
# process that is lost ends the others by itself (gpt_jax/parallel/watch.py).
PATIENCE = 10 * 365 * 86_400


class Checkpoints:
    """The `checkpoints/` folder of a run: one folder per step, holding "state" (arrays) and "meta" (JSON).

    `meta` says what the arrays belong to (config, digests, seed, tokens), and its "loss" ranks the step: the data
    position is the step itself.
    """

    def __init__(self, folder: Path | str, keep_last: int = 2, keep_best: int = 1):
        folder = Path(folder)
        require_readable_name(folder)
        if hasattr(multihost, "_DEFAULT_BARRIER_TIMEOUT"):  # it has no public name
            multihost._DEFAULT_BARRIER_TIMEOUT = PATIENCE
        self._best = _Best(folder, keep_best)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=managers.AnyPreservationPolicy([managers.LatestN(keep_last), self._best]),
            save_decision_policy=managers.FixedIntervalPolicy(1),
            enable_async_checkpointing=True,
            async_options=ocp.AsyncOptions(timeout_secs=PATIENCE, post_finalization_callback=self._write_digests),
            create=True,
        )
        self.folder = folder
        self._saving = -1  # the step being written
        handlers = {"state": ocp.StandardCheckpointHandler(), "meta": ocp.JsonCheckpointHandler()}
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options, item_handlers=handlers)

    def save(self, step: int, state: Any, meta: dict[str, Any], loss: float | None) -> None:
        """Starts writing `state`; returns once it may be donated. `loss` (validation) ranks it; none: last.

        What goes wrong in the background is raised by the next call of `save`, `wait` or `close`.
        """
        self.wait()
        if step in self._manager.all_steps():
            return
        for name, array in ocp.tree.to_flat_dict(state, sep="/").items():
            if array.size == 0:
                raise InputError(
                    f"checkpoint: {name} has shape {tuple(array.shape)}: an array with elements is allowed"
                )
        self._saving = step
        if jax.default_backend() == "cpu":  # the writer reads host memory in place, and donation reuses it
            state = jax.tree.map(_copy, state)
        meta = {**meta, "loss": loss}
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
        self._best.losses[step] = np.inf if loss is None else loss
        self._manager.save(step, args=items, force=True)

    def _write_digests(self) -> None:
        """Called in the background by the one process that gives the step its name, just before that."""
        unfinished = [path for path in self.folder.glob(f"{self._saving}{UNFINISHED}*") if path.is_dir()]
        folder = max(unfinished, key=lambda path: path.stat().st_mtime, default=self.folder / str(self._saving))
        write_atomically(folder / DIGESTS, json.dumps(digests(folder), indent=1) + "\n")

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
        accept: Callable[[dict[str, Any]], None] = lambda meta: None,
    ) -> tuple[Any, dict[str, Any]] | None:
        """The newest whole state shaped as `like` (arrays or ShapeDtypeStructs), and its meta; None if there is none.

        Arrays come back with the shardings of `like`. `steps` None means all there are. A damaged step is named
        through `report`, with the file, and passed over for the one before it; `discard` renames it `damaged-STEP`, so
        that it can be written again, and removes what broken-off saves left. A step without digests is read, and
        reported. `accept(meta)` may raise, before the arrays are read.

        Raises:
          InputError: steps exist and none can be read; or a step holds other arrays than `like` (a step of another
            architecture is whole, and stays as it is).
        """
        if discard:
            self._by_one_process(self._remove_unfinished)
        there = {int(path.name) for path in self.folder.iterdir() if path.name.isdigit()}
        chosen = sorted(there if steps is None else there & set(steps), reverse=True)
        for step in chosen:
            folder = self.folder / str(step)
            problem = self._by_one_process(lambda folder=folder: damage(folder))
            if problem is None:
                if not (folder / DIGESTS).exists():
                    report(f"checkpoint {folder} has no {DIGESTS}: it is read unchecked")
                try:
                    return self._read(step, like, accept)
                except InputError:
                    raise
                except Exception as error:
                    if (folder / DIGESTS).exists():
                        raise  # its files are whole: this is something else, a lack of memory perhaps
                    problem = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            report(f"checkpoint {folder} is damaged and passed over: {problem}")
            if discard:
                self._by_one_process(lambda step=step: self._discard(step))
                self._manager.reload()
        if chosen:
            raise InputError(f"{self.folder}: no checkpoint can be read: remove the folder to start again")
        return None

    def _read(self, step: int, like: Any, accept: Callable[[dict[str, Any]], None]) -> tuple[Any, dict[str, Any]]:
        meta = self.meta(step)
        accept(meta)
        theirs, ours = _arrays(self._manager.item_metadata(step)["state"]), _arrays(like)
        differ = [name for name in sorted({*theirs, *ours}) if theirs.get(name) != ours.get(name)]
        if differ:
            shown = ", ".join(
                f"{n} is {theirs.get(n, 'absent')}, not {ours.get(n, 'absent')}" for n in differ[:MOST_NAMED]
            )
            more = f" and {len(differ) - MOST_NAMED} more" if len(differ) > MOST_NAMED else ""
            raise InputError(f"{self.folder / str(step)} holds another model's arrays: {shown}{more}")
        shapes = jax.tree.map(_placed, like)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(shapes))
        return self._manager.restore(step, args=items)["state"], meta

    def _by_one_process(self, act: Callable[[], Any]) -> Any:
        """What `act` gives on the writing process, for all to act alike (elsewhere any text stands for its own)."""
        if jax.process_count() == 1:
            return act()
        result = act() if jax.process_index() == 0 else None
        happened = bool(multihost_utils.broadcast_one_to_all(np.array(result is not None)))
        return (result or "process 0 says so") if happened else None

    def _discard(self, step: int) -> None:
        target = self.folder / f"damaged-{step}"
        shutil.rmtree(target, ignore_errors=True)
        (self.folder / str(step)).rename(target)

    def _remove_unfinished(self) -> None:
        for path in self.folder.glob(f"*{UNFINISHED}*"):
            shutil.rmtree(path, ignore_errors=True)

    def wait(self) -> None:
        """Returns when everything is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        self._manager.close()


def require_readable_name(folder: Path) -> None:
    """Raises `InputError` where a path is not UTF-8, as TensorStore asks; the locale C reads even UTF-8 otherwise."""
    try:
        str(folder.absolute()).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{str(folder)!a} is not allowed: a path in UTF-8 (PYTHONUTF8=1 has Python read paths so under any locale)"
        ) from None


def digests(folder: Path) -> dict[str, tuple[int, str]]:
    """Size (bytes) and SHA-256 of the files below a step's folder, by their path in it."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    names = [name for name in names if name not in UNDIGESTED]
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter
        sums = pool.map(lambda name: sha256(folder / name), names)
        return {name: ((folder / name).stat().st_size, digest) for name, digest in zip(names, sums, strict=True)}


def damage(folder: Path) -> str | None:
    """What is wrong with a step's folder: the first missing, cut or changed file by its digests. None: nothing.

    The digests decide. A copy by rsync or tar may lack Orbax's own mark, and Orbax 0.12.0 to 0.12.2 write none: the
    mark is asked for only where there are no digests.
    """
    if not (folder / DIGESTS).exists():
        return None if (folder / MARK).exists() else f"{DIGESTS} and {MARK} are missing"
    try:
        stated = read_json(folder / DIGESTS, dict)
        found = digests(folder)
        for name, (size, digest) in stated.items():
            if name in UNDIGESTED:  # an older version's
                continue
            if name not in found:
                return f"{name} is missing"
            if found[name][0] != size:
                return f"{name} has {found[name][0]:,} of {size:,} bytes"
            if found[name][1] != digest:
                return f"{name} is not what was written: its SHA-256 differs"
    except (OSError, ValueError, TypeError):
        return f"{DIGESTS} cannot be read"
    return None


class _Best(managers.PreservationPolicy):
    """Keeps the `count` steps of the lowest loss, those of earlier sessions among them."""

    def __init__(self, folder: Path, count: int):
        self._folder, self._count = folder, count
        self.losses: dict[int, float] = {}

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        ranked = sorted(checkpoints, key=lambda info: (self._loss(info.step), -info.step))
        kept = {info.step for info in ranked[: self._count]}
        return [info.step in kept for info in checkpoints]

    def _loss(self, step: int) -> float:
        if step not in self.losses:
            try:
                meta = read_json(self._folder / str(step) / "meta" / "metadata", dict)
                self.losses[step] = float(meta["loss"])
            except (ValueError, KeyError, TypeError):  # none, or damaged
                self.losses[step] = np.inf
        return self.losses[step]


def _copy(array: Any) -> Any:
    """A copy of the same type: JAX would round NumPy's float64."""
    return jnp.copy(array) if isinstance(array, jax.Array) else np.array(array, order="C")


def _placed(leaf: Any) -> Any:
    """What Orbax is asked for: where `leaf` names no place, this process's first device.

    Orbax would else ask for the devices that the array was saved from, which may not be here.
    """
    struct = ocp.utils.to_shape_dtype_struct(leaf)
    if getattr(struct, "sharding", None) is not None or not isinstance(struct, jax.ShapeDtypeStruct):
        return struct
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(struct.shape, struct.dtype, sharding=here)


def _arrays(tree: Any) -> dict[str, str]:
    """ "float32 (40, 50)" by "params/w"."""
    flat = ocp.tree.to_flat_dict(tree, sep="/")
    return {name: f"{np.dtype(leaf.dtype).name} {tuple(leaf.shape)}" for name, leaf in flat.items()}
