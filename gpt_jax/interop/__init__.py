"""Reads and writes weights in Transformers' layout, and reads weights as OpenAI released them."""

from gpt_jax.interop.folder import cut_vocabulary, is_padded, load_pretrained, save_pretrained
from gpt_jax.interop.layout import from_named_tensors, to_named_tensors
from gpt_jax.interop.openai import join_embeddings, load_openai_gpt1, load_openai_gpt2, split_embedding

__all__ = [
    "cut_vocabulary",
    "from_named_tensors",
    "is_padded",
    "join_embeddings",
    "load_openai_gpt1",
    "load_openai_gpt2",
    "load_pretrained",
    "save_pretrained",
    "split_embedding",
    "to_named_tensors",
]
