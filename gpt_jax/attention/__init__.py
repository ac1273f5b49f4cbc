"""Attention over patterns: which pairs attend (patterns.py, parts.py), and how they are computed (implementations.py).

`attend` is imported on first use. A config holds patterns, and patterns alone do not start JAX.
"""

from typing import TYPE_CHECKING, Any

from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Pattern, Strided, check_pattern

if TYPE_CHECKING:
    from gpt_jax.attention.implementations import attend

__all__ = ["Banded", "Dense", "Fixed", "LogSparse", "Pattern", "Strided", "attend", "check_pattern"]


def __getattr__(name: str) -> Any:
    if name != "attend":
        raise AttributeError(f"module 'gpt_jax.attention' has no attribute {name!r}")
    from importlib import import_module

    return import_module("gpt_jax.attention.implementations").attend
