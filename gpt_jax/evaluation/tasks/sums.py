"""Sums and differences of as many digits as a model was trained on, and of more; see data/pairs/composition.py."""

from gpt_jax.evaluation.composition import tasks

TASKS = tasks("sums")
