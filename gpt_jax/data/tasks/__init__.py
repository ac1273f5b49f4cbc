"""Labelled data: a task is one declaration (declared.py), and its examples come from TFDS or from a local folder.

`load_task("sst2", None)` reads TFDS. `load_task("sst2", folder)` reads the files of the original distribution in
`folder/sst2` or `folder` (readers.py), or the documented form of a user's own task (folder.py,
docs/TASKS.md); `load_task("path/to/folder", None)` reads that form, whatever the task is.
"""

from gpt_jax.data.tasks.declared import TASKS, get_task, task_names
from gpt_jax.data.tasks.load import load_task
from gpt_jax.data.tasks.task import Example, LabelledTask, Metric, Shape, Splits, Tfds

__all__ = [
    "TASKS",
    "Example",
    "LabelledTask",
    "Metric",
    "Shape",
    "Splits",
    "Tfds",
    "get_task",
    "load_task",
    "task_names",
]
