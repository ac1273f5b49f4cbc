"""Recipes by name. A recipe is a config with its promise. `get` gives the config, and `recipe` gives both.

A new recipe is an entry of `RECIPES` in a file of this folder, from its name to a function that returns a `Recipe`.

>>> import configs
>>> configs.get("gpt2-124m").model.n_layer
12
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

from configs.recipe import Recipe
from gpt_jax.config import RunConfig
from gpt_jax.errors import unknown


@cache
def _recipes() -> dict[str, Callable[[], Recipe]]:
    files = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "recipe"))
    return {name: make for file in files for name, make in import_module(f"configs.{file}").RECIPES.items()}


def names() -> list[str]:
    """The name of every recipe."""
    return list(_recipes())


def recipe(name: str) -> Recipe:
    """The recipe called `name`. Raises `InputError` with the nearest name."""
    if name not in _recipes():
        raise unknown("recipe", name, _recipes())
    return _recipes()[name]()


def get(name: str) -> RunConfig:
    """The config of the recipe called `name`. Raises `InputError` with the nearest name."""
    return recipe(name).config
