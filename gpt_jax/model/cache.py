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
from gpt_jax.sharding import on_cuda


@flax.struct.dataclass
class LayerCache:
    """One layer's keys and values, of up to `length` tokens. `fresh` says that nothing has been written yet.

    `k` and `v` are `(B, H, S, D)`, the order in which a product reads them. With `slots_first` they are `(B, S, H, D)`,
    the order in which cuDNN's kernel does. From that order, XLA's CPU back end would turn all keys at every token.
    """

    k: jax.Array
    v: jax.Array
    length: int = flax.struct.field(pytree_node=False)
    slots_first: bool = flax.struct.field(pytree_node=False)
    fresh: bool = flax.struct.field(pytree_node=False, default=True)

    @property
    def slots(self) -> int:
        return self.k.shape[-3 if self.slots_first else -2]

    def write(self, k_BTHD: jax.Array, v_BTHD: jax.Array, positions_BT: jax.Array | None) -> LayerCache:
        """Stores tokens at their positions; those at -1 (padding) and those a later one overwrites are dropped."""
        assert positions_BT is not None
        newest_B1 = positions_BT.max(axis=1, keepdims=True)
        kept_BT = (positions_BT >= 0) & (positions_BT > newest_B1 - self.slots)
        slots_BT = jnp.where(kept_BT, positions_BT % self.slots, self.slots)
        rows_B1 = jnp.arange(positions_BT.shape[0])[:, None]

        where = (rows_B1, slots_BT) if self.slots_first else (rows_B1, slice(None), slots_BT)

        def put(old, new_BTHD):
            return old.at[where].set(new_BTHD.astype(old.dtype), mode="drop")

        return self.replace(k=put(self.k, k_BTHD), v=put(self.v, v_BTHD), fresh=False)  # type: ignore[attr-defined]

    def by_slot(self) -> tuple[jax.Array, jax.Array]:
        """Keys and values, each `(B, S, H, D)`."""
        return (self.k, self.v) if self.slots_first else (self.k.swapaxes(1, 2), self.v.swapaxes(1, 2))

    def extend(self, k_BTHD: jax.Array, v_BTHD: jax.Array, positions_BT: jax.Array, pattern: Pattern):
        """Stores T new tokens; returns the new cache, and the keys, values and key positions they may attend.

        Positions are -1 where there is no key. T = 1 reads what the pattern names; more read everything.
        """
        written = self.write(k_BTHD, v_BTHD, positions_BT)
        if positions_BT.shape[1] > 1:
            first_B = jnp.where(positions_BT >= 0, positions_BT, jnp.iinfo(jnp.int32).max).min(axis=1)
            stored_BS = self.stored_positions(first_B)
            k_BSHD, v_BSHD = (
                jnp.concatenate([old_BSHD, new_BTHD.astype(old_BSHD.dtype)], axis=1)
                for old_BSHD, new_BTHD in zip(self.by_slot(), (k_BTHD, v_BTHD), strict=True)
            )
            return written, k_BSHD, v_BSHD, jnp.concatenate([stored_BS, positions_BT], axis=1)
        position_B = positions_BT[:, 0]
        reads_BP = read_positions(pattern, position_B, self.length)
        if reads_BP is None or reads_BP.shape[1] >= self.slots:
            return written, *written.by_slot(), written.stored_positions(position_B + 1)
        slots_BP11 = (reads_BP % self.slots)[:, :, None, None]
        k_BPHD, v_BPHD = (jnp.take_along_axis(x_BSHD, slots_BP11, axis=1) for x_BSHD in written.by_slot())
        return written, k_BPHD, v_BPHD, reads_BP

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
    dtype, slots_first = jnp.dtype(config.compute_dtype), on_cuda()

    def layer(pattern: Pattern) -> LayerCache:
        held = slots(pattern, length)
        order = (held, config.n_head) if slots_first else (config.n_head, held)
        shape = (batch_size, *order, config.head_width)
        if config.scan_layers:
            shape = (config.n_layer // config.attention_period, *shape)
        return LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype), length, slots_first)

    count = config.attention_period if config.scan_layers else config.n_layer
    return Cache(jnp.zeros(batch_size, jnp.int32), tuple(layer(config.pattern(n)) for n in range(count)))
