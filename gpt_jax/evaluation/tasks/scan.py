"""SCAN (Lake & Baroni 2018): commands to actions, in and out of distribution; see data/pairs/composition.py."""

from gpt_jax.evaluation.composition import tasks

TASKS = (*tasks("scan_length"), *tasks("scan_jump"), *tasks("scan_turn_left"))
