"""JAX's settings that decide numbers, pinned wherever this library computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import jax

from gpt_jax.errors import InputError

PRNG = "threefry2x32"


@contextmanager
def pinned() -> Iterator[None]:
    """JAX's own defaults for 64-bit types, random numbers, promotion and the precision of products, as a context or a
    decorator: a user's JAX_ENABLE_X64, JAX_DEFAULT_PRNG_IMPL and so on decide nothing inside. Published numbers are of
    these settings."""
    with ExitStack() as settings:
        for setting in (
            jax.enable_x64(False),
            jax.default_prng_impl(PRNG),
            jax.threefry_partitionable(True),
            jax.numpy_rank_promotion("allow"),
            jax.numpy_dtype_promotion("standard"),
            jax.default_matmul_precision(None),
        ):
            settings.enter_context(setting)
        yield


@jax.tree_util.register_pytree_node_class
class TracedRate:
    """A dropout rate whose chance to keep, `1 - rate`, is traced: runs of one program may differ in it.

    Code that asks whether the rate is above 0 hears that it is. At a chance of 1 everything is kept, as it is.
    """

    def __init__(self, keep: jax.Array):
        self._keep = keep

    def __rsub__(self, one: float) -> jax.Array:
        return self._keep

    def __gt__(self, number: float) -> bool:
        return True

    def __lt__(self, number: float) -> bool:
        return False

    def __format__(self, spec: str) -> str:
        return "of several runs"

    def tree_flatten(self) -> tuple[tuple[jax.Array], None]:
        return (self._keep,), None

    @classmethod
    def tree_unflatten(cls, structure: None, leaves: tuple[jax.Array]) -> TracedRate:
        return cls(*leaves)


def typed_key(key: jax.Array) -> jax.Array:
    """`key` as a typed key: one of any implementation as it is; an old raw one, uint32 `(2,)` of `jax.random.PRNGKey`,
    as threefry's, and `(4,)` as rbg's. Raises `InputError` for anything else."""
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    if dtype is not None and shape == () and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
        return key
    if dtype == "uint32" and shape in ((2,), (4,)):
        return jax.random.wrap_key_data(key, impl=PRNG if shape == (2,) else "rbg")
    raise InputError(f"key: {key!r} is not allowed: one jax.random.key, or a raw one of jax.random.PRNGKey")
