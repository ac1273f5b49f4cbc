"""Attention by fused kernels: which serves where (choice.py), parts as pieces, and pieces under one softmax."""

from gpt_jax.attention.kernels.choice import Choice, Kernel, choose, kernel_attention, window

__all__ = ["Choice", "Kernel", "choose", "kernel_attention", "window"]
