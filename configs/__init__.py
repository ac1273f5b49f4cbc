"""Recipes by name: each a plain function that returns a RunConfig, with its promise in the docstring.

>>> import configs
>>> configs.get("gpt2-124m").model.n_layer
12
"""

from collections.abc import Callable

from configs.gpt1 import gpt1, gpt1_books
from configs.gpt2 import GPT2
from configs.gpt3 import GPT3
from configs.quickstart import quickstart
from gpt_jax.config import RunConfig
from gpt_jax.errors import unknown

_RECIPES: dict[str, Callable[[], RunConfig]] = {
    "quickstart": quickstart, "gpt1": gpt1, "gpt1-books": gpt1_books, **GPT2, **GPT3,
}  # fmt: skip


def names() -> list[str]:
    """Every config's name."""
    return list(_RECIPES)


def get(name: str) -> RunConfig:
    """The config called `name`. Raises `InputError` with the nearest name."""
    if name not in _RECIPES:
        raise unknown("config", name, _RECIPES)
    return _RECIPES[name]()
