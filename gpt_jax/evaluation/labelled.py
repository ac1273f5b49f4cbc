"""The labelled data of fine-tuning (data/tasks/), as evaluation reads it: from a folder at any depth, or TFDS."""

from __future__ import annotations

from gpt_jax.data.public_files import Files
from gpt_jax.data.tasks import Example, get_task, load_task
from gpt_jax.errors import unknown

TEST = "test, or validation"


def examples(files: Files, name: str, split: str) -> list[Example]:
    """The labelled examples of a split of the task `name`; `TEST` is the test split, or validation where the test
    labels are not public. Raises `InputError`."""
    folder, own = None, get_task(name).folder or name
    if files.root is not None:  # the root may be the task's own folder
        folder = files.root if files.root.name == own else files.find(own, kinds="folder").parent
    _, splits = load_task(name, folder)
    labelled = {key: [e for e in own if e.label is not None] for key, own in splits.items()}
    if split == TEST:
        return labelled.get("test") or labelled["validation"]
    if split not in labelled:
        raise unknown(f"split of {name}", split, labelled)
    return labelled[split]
