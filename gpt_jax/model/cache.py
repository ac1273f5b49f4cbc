"""Keys and values of the tokens already seen. A pattern decides how many are kept and read.

Axes: B batch, T new tokens, S slots, P slots read, H heads, D head width.

Position `p` lives in slot `p mod slots`. The pattern's parts decide the number of slots. Where no part reaches past the
newest r tokens, a layer keeps a ring of r slots: a band of r is such a part. Other layers keep the whole context. One
new token reads only the positions that the parts name. A pattern without parts keeps and reads everything.
"""

from __future__ import annotations

import flax.struct
import jax
import jax.numpy as jnp

from gpt_jax.attention.patterns import Pattern
from gpt_jax.config import ModelConfig


@flax.struct.dataclass
class LayerCache:
    """One layer's keys and values, of up to `length` tokens. `fresh` says that nothing has been written yet."""

    k_BSHD: jax.Array
    v_BSHD: jax.Array
    length: int = flax.struct.field(pytree_node=False)
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

        return LayerCache(put(self.k_BSHD, k_BTHD), put(self.v_BSHD, v_BTHD), self.length, fresh=False)

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
        reads_BP = read_positions(pattern, position_B, self.length)
        if reads_BP is None or reads_BP.shape[1] >= self.slots:
            return written, written.k_BSHD, written.v_BSHD, written.stored_positions(position_B + 1)
        rows_B1 = jnp.arange(position_B.shape[0])[:, None]
        slots_BP = reads_BP % self.slots
        return written, written.k_BSHD[rows_B1, slots_BP], written.v_BSHD[rows_B1, slots_BP], reads_BP

    def stored_positions(self, length_B: jax.Array) -> jax.Array:
        """The newest position below `length` in each slot, `(B, S)`; negative where the slot is empty."""
        newest_B1 = length_B[:, None] - 1
        return newest_B1 - (newest_B1 - jnp.arange(self.slots, dtype=jnp.int32)[None, :]) % self.slots


def read_positions(pattern: Pattern, i_B: jax.Array, length: int) -> jax.Array | None:
    """The positions that a token at `i` reads, each once: int32 `(B, P)`, negative where a position is missing.

    None means every position: the pattern has no parts.
    """
    parts = pattern.parts(length)
    if parts is None:
        return None
    with jax.numpy_rank_promotion("allow"):
        return jnp.concatenate([jnp.asarray(part.keys(i_B, length), jnp.int32) for part in parts], axis=1)


def slots(pattern: Pattern, length: int) -> int:
    """How many positions a cache keeps for `pattern`, at most `length`: the newest ones that a token may read."""
    parts = pattern.parts(length)
    return length if parts is None else min(length, max(part.reach(length) for part in parts))


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
        shape = (batch_size, slots(pattern, length), config.n_head, config.head_width)
        if config.scan_layers:
            shape = (config.n_layer // config.attention_period, *shape)
        return LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype), length)

    count = config.attention_period if config.scan_layers else config.n_layer
    return Cache(jnp.zeros(batch_size, jnp.int32), tuple(layer(config.pattern(n)) for n in range(count)))
