"""The models: GPT's decoder, and an LSTM to compare it with. Callers use both through the functions named here."""

from gpt_jax.model.interface import AnyCache, decode, hidden, init_cache, language_model, logits, padded, prefill

__all__ = ["AnyCache", "decode", "hidden", "init_cache", "language_model", "logits", "padded", "prefill"]
