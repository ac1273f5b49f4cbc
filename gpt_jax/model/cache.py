"""Keys and values of the tokens already seen, at the memory and the reads that each pattern needs.

Axes: B batch, T new tokens, S slots, P slots read, H heads, D head width.

Position `p` lives in slot `p mod slots`. A banded layer has `window` slots, a ring; every other pattern keeps
the whole context. One new token then reads only the positions its pattern names: `k + n/k` for `Strided`,
`window + log2 n` for `LogSparse`.
"""

from __future__ import annotations

import flax.struct
import jax
import jax.numpy as jnp

from gpt_jax.attention.patterns import Banded, Fixed, LogSparse, Pattern, Strided
from gpt_jax.config import ModelConfig


@flax.struct.dataclass
class LayerCache:
    """One layer's keys and values. `fresh` (static) says that nothing has been written yet."""

    k_BSHD: jax.Array
    v_BSHD: jax.Array
    fresh: bool = flax.struct.field(pytree_node=False, default=True)

    @property
    def slots(self) -> int:
        return self.k_BSHD.shape[1]

    def write(self, k_BTHD: jax.Array, v_BTHD: jax.Array, positions_BT: jax.Array | None) -> LayerCache:
        """Stores tokens at their positions; those at -1 (padding) and those a later one overwrites are dropped."""
        assert positions_BT is not None
        newest_B1 = positions_BT.max(axis=1, keepdims=True)
        kept_BT = (positions_BT >= 0) & (positions_BT > newest_B1 - self.slots)
        slots_BT = jnp.where(kept_BT, positions_BT % self.slots, self.slots)
        rows_B1 = jnp.arange(positions_BT.shape[0])[:, None]

        def put(old_BSHD, new_BTHD):
            return old_BSHD.at[rows_B1, slots_BT].set(new_BTHD.astype(old_BSHD.dtype), mode="drop")

        return LayerCache(put(self.k_BSHD, k_BTHD), put(self.v_BSHD, v_BTHD), fresh=False)

    def extend(self, k_BTHD: jax.Array, v_BTHD: jax.Array, positions_BT: jax.Array, pattern: Pattern):
        """Stores T new tokens; returns the new cache, and the keys, values and key positions they may attend.

        Positions are -1 where there is no key. T = 1 reads what the pattern names; more read everything.
        """
        written = self.write(k_BTHD, v_BTHD, positions_BT)
        if positions_BT.shape[1] > 1:
            first_B = jnp.where(positions_BT >= 0, positions_BT, jnp.iinfo(jnp.int32).max).min(axis=1)
            stored_BS = self.stored_positions(first_B)
            k_BSHD = jnp.concatenate([self.k_BSHD, k_BTHD.astype(self.k_BSHD.dtype)], axis=1)
            v_BSHD = jnp.concatenate([self.v_BSHD, v_BTHD.astype(self.v_BSHD.dtype)], axis=1)
            return written, k_BSHD, v_BSHD, jnp.concatenate([stored_BS, positions_BT], axis=1)
        position_B = positions_BT[:, 0]
        reads_BP = read_positions(pattern, position_B, self.slots)
        if reads_BP is None:
            return written, written.k_BSHD, written.v_BSHD, written.stored_positions(position_B + 1)
        rows_B1 = jnp.arange(position_B.shape[0])[:, None]
        slots_BP = jnp.maximum(reads_BP, 0)
        return written, written.k_BSHD[rows_B1, slots_BP], written.v_BSHD[rows_B1, slots_BP], reads_BP

    def stored_positions(self, length_B: jax.Array) -> jax.Array:
        """The newest position below `length` in each slot, `(B, S)`; negative where the slot is empty."""
        newest_B1 = length_B[:, None] - 1
        return newest_B1 - (newest_B1 - jnp.arange(self.slots)[None, :]) % self.slots


def read_positions(pattern: Pattern, i_B: jax.Array, length: int) -> jax.Array | None:
    """The positions that a token at `i` reads, each once: int32 `(B, P)`, negative where there is none.

    None means all slots (`Dense`, and the ring of `Banded`).
    """
    i_B1 = i_B[:, None]
    if isinstance(pattern, Strided):
        k = pattern.stride
        distances = [*range(k + 1), *range(2 * k, length, k)]
        return i_B1 - jnp.array([d for d in distances if d < length])
    if isinstance(pattern, LogSparse):
        w = pattern.window
        distances = [*range(w), *(2**m for m in range(length.bit_length()) if 2**m >= w)]
        return i_B1 - jnp.array([d for d in distances if d < length])
    if isinstance(pattern, Fixed):
        block, own_B1 = pattern.block, i_B1 // pattern.block
        summary = jnp.array([j for j in range(length) if j % block >= block - pattern.summary], jnp.int32)
        elsewhere_BP = jnp.where(summary[None] // block == own_B1, -1, summary[None])
        mine_BP = own_B1 * block + jnp.arange(min(block, length))
        return jnp.concatenate([jnp.where(mine_BP <= i_B1, mine_BP, -1), elsewhere_BP], axis=1)
    return None


@flax.struct.dataclass
class Cache:
    """What decoding carries from token to token: an ordinary pytree.

    `length_B` counts the tokens of each row. `layers` holds a `LayerCache` per layer; with `scan_layers`, one
    per layer of a period, stacked over the periods.
    """

    length_B: jax.Array
    layers: tuple[LayerCache, ...]


def init_cache(config: ModelConfig, batch_size: int, length: int | None = None) -> Cache:
    """An empty cache for `batch_size` rows of up to `length` tokens (default: the context)."""
    length = config.context_length if length is None else length
    dtype = jnp.dtype(config.compute_dtype)

    def layer(pattern: Pattern) -> LayerCache:
        slots = min(pattern.window, length) if isinstance(pattern, Banded) else length
        shape = (batch_size, slots, config.n_head, config.head_width)
        if config.scan_layers:
            shape = (config.n_layer // config.attention_period, *shape)
        return LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    count = config.attention_period if config.scan_layers else config.n_layer
    return Cache(jnp.zeros(batch_size, jnp.int32), tuple(layer(config.pattern(n)) for n in range(count)))
