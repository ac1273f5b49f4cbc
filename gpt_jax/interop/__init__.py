"""Weights in Transformers' layout, in and out."""

from gpt_jax.interop.folder import load_pretrained, save_pretrained
from gpt_jax.interop.layout import from_named_tensors, to_named_tensors

__all__ = ["from_named_tensors", "load_pretrained", "save_pretrained", "to_named_tensors"]
