"""Attention by fused kernels: which serves where (choice.py), parts as pieces, and pieces under one softmax."""

from gpt_jax.attention.kernels.choice import Choice, Kernel, choose, kernel_attention, window
from gpt_jax.attention.kernels.cudnn import first_keys

__all__ = ["Choice", "Kernel", "choose", "first_keys", "kernel_attention", "window"]
