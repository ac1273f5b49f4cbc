"""The steps of several runs as one program: their states stacked, the step vmapped.

What the runs' settings differ in is traced: the program gets it as arguments, a value for each run.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gpt_jax.numerics import TracedRate, pinned
from gpt_jax.training.state import TrainState

COPIES = "copies"  # the mesh axis
Step = Callable[..., tuple[TrainState, dict[str, jax.Array]]]


class Request(NamedTuple):
    """The next step of one run.

    `make(settings)` is its step, `(state, constants, *given) -> (state, metrics)`. `scalars` are names of numbers in
    `settings`, as "optimizer.weight_decay", in which the runs of a program may differ; in all else, the settings of
    the first run serve all of them. `constants` are arrays that no step changes, and `given` is on the host.
    """

    make: Callable[[Any], Step]
    settings: Any
    scalars: tuple[str, ...]
    state: Any
    constants: Any
    given: tuple[Any, ...]

    @property
    def shape(self) -> Any:
        """The runs for which this is equal can share a program, if their settings allow it."""
        leaves, structure = jax.tree.flatten((self.state, self.constants, self.given))
        return structure, tuple((np.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)


def with_values(settings: Any, values: Mapping[str, Any]) -> Any:
    """`settings`, a dataclass, with numbers replaced by values that are traced, so that no check can read them."""
    for name, value in values.items():
        field, _, rest = name.partition(".")
        settings = copy.copy(settings)
        inner = with_values(getattr(settings, field), {rest: value}) if rest else value
        object.__setattr__(settings, field, inner)
    return settings


def value_of(settings: Any, name: str) -> float:
    """The number of that name, as "optimizer.weight_decay"."""
    for field in name.split("."):
        settings = getattr(settings, field)
    return float(settings)


class Program:
    """The steps of `count` runs as one program. A run that is over leaves its place idle."""

    @pinned()
    def __init__(self, requests: Sequence[Request]):
        count, devices = len(requests), jax.local_devices()
        self._each = per_device(count, len(devices))
        devices = devices[: -(-count // self._each)]
        self._count = self._each * len(devices)  # the places past the last run are idle
        self._devices, self._mesh = devices, Mesh(np.array(devices), (COPIES,))
        self._spread = NamedSharding(self._mesh, PartitionSpec(COPIES))
        first = requests[0]
        self._make, self._settings = first.make, first.settings
        requests = [*requests, *[first] * (self._count - count)]
        self._given = [request.given for request in requests]  # to each run's step, the newest
        self._state: Any = self._stacked([request.state for request in requests])
        self._constants = self._stacked([request.constants for request in requests])
        found = {name: [value_of(request.settings, name) for request in requests] for name in first.scalars}
        self._values = {name: self._spread_out(name, own) for name, own in found.items() if len(set(own)) > 1}
        self._compiled: Any = None

    def _spread_out(self, name: str, own: Sequence[float]) -> jax.Array:
        """A number of each run's settings. Like the settings' own it gives way to an array's dtype (weakly typed).

        Of a dropout rate, the number is the chance to keep, rounded once, as a run alone rounds it.
        """
        values = [jnp.asarray(1 - value if is_rate(name) else value) for value in own]
        return jax.device_put(jnp.stack(values), self._spread)

    @pinned()
    def step(self, given: Mapping[int, tuple[Any, ...]]) -> list[tuple[Any, Any]]:
        """One step of each run in `given`: what it is given, by the run's place."""
        for number, own in given.items():
            self._given[number] = own
        arrays = [jax.device_put(np.stack(values), self._spread) for values in zip(*self._given, strict=True)]
        arguments = (self._state, self._constants, self._values, *arrays)
        if self._compiled is None:
            self._compiled = jax.jit(self._function(), donate_argnums=0).lower(*arguments).compile()
        self._state, metrics = self._compiled(*arguments)
        return [
            (Copy(self._state, n, self._each), {k: _Figure(v, n) for k, v in metrics.items()})
            for n in range(self._count)
        ]

    def _function(self) -> Callable[..., Any]:
        def one(state: TrainState, constants: Any, values: Mapping[str, Any], *given: Any):
            traced = {name: TracedRate(value) if is_rate(name) else value for name, value in values.items()}
            return self._make(with_values(self._settings, traced))(state, constants, *given)

        several = jax.vmap(one)
        if len(self._devices) == 1:
            return several
        spec = PartitionSpec(COPIES)
        return jax.shard_map(several, mesh=self._mesh, in_specs=spec, out_specs=spec, check_vma=False)

    def _stacked(self, states: list[Any]) -> Any:
        """States, each on its own device, as arrays `(count, ...)` over the devices."""
        rows = range(0, self._count, self._each)
        stack = jax.jit(lambda *leaves: jnp.stack(leaves))

        def whole(*leaves: jax.Array) -> jax.Array:
            parts = [
                stack(*(jax.device_put(leaf, device) for leaf in leaves[first : first + self._each]))
                for first, device in zip(rows, self._devices, strict=True)
            ]
            shape = (self._count, *leaves[0].shape)
            return jax.make_array_from_single_device_arrays(shape, self._spread, parts)

        return jax.tree.map(whole, *states)


class Copy:
    """One run's `TrainState` among the stacked ones; its arrays are taken out when they are asked for."""

    def __init__(self, stacked: TrainState, number: int, each: int):
        self._stacked, self._number, self._each = stacked, number, each

    @property
    def step(self) -> jax.Array:
        return self.of(lambda state: state.step)

    @property
    def params(self) -> Any:
        return self.of(lambda state: state.params)

    @property
    def opt_state(self) -> Any:
        return self.of(lambda state: state.opt_state)

    def of(self, part: Callable[[Any], Any]) -> Any:
        """The run's own arrays of a part of the state."""
        tree, first = part(self._stacked), self._number // self._each * self._each
        here = lambda x: next(s.data for s in x.addressable_shards if (s.index[0].start or 0) == first)  # noqa: E731
        return _take(jax.tree.map(here, tree), self._number - first)


class _Figure:
    """One run's metric among the stacked ones, read when it is asked for."""

    def __init__(self, stacked: jax.Array, number: int):
        self._stacked, self._number = stacked, number

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self._stacked)[self._number]


@jax.jit
def _take(tree: Any, number: Any) -> Any:
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, number, keepdims=False), tree)


def per_device(count: int, devices: int) -> int:
    return -(-count // devices)


def is_rate(name: str) -> bool:
    """Whether the number of that name is a dropout rate."""
    return name.endswith("_dropout")
