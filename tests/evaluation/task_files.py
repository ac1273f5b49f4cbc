"""What tests of tasks share: a made-up public file, a task by its name, what a model may answer."""

from typing import Any

import numpy as np

from gpt_jax.data.public_files import Files
from gpt_jax.evaluation.inference.requests import Likelihood
from gpt_jax.evaluation.task import find_tasks


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return Files(root)


def task(name) -> Any:
    return find_tasks([name])[0]


def likely(log_prob, tokens=1, greedy=False, allowed=False):
    return Likelihood(log_prob, tokens, greedy, allowed)


def stack(rows):
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}
