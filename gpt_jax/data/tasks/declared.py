"""Every labelled task that is known by name: a new one is one declaration here, and its reader in readers.py."""

from __future__ import annotations

from gpt_jax.data.scenes import KINDS
from gpt_jax.data.tasks.task import LabelledTask, Tfds
from gpt_jax.errors import unknown

ENTAILED = ("entailment", "not_entailment")
NO_YES = ("no", "yes")
TASKS = (
    LabelledTask("sst2", "classification", ("negative", "positive"), tfds=Tfds("glue/sst2", ("sentence",))),
    LabelledTask(
        "cola", "classification", ("unacceptable", "acceptable"), "matthews", tfds=Tfds("glue/cola", ("sentence",))
    ),
    LabelledTask(
        "trec",
        "classification",
        ("description", "entity", "abbreviation", "human", "location", "number"),
        tfds=Tfds("trec", ("text",), "label-coarse"),
    ),
    LabelledTask("rte", "entailment", ENTAILED, tfds=Tfds("glue/rte", ("sentence1", "sentence2"))),
    LabelledTask("qnli", "entailment", ENTAILED, tfds=Tfds("glue/qnli", ("question", "sentence"))),
    LabelledTask(
        "mnli",
        "entailment",
        ("entailment", "neutral", "contradiction"),
        tfds=Tfds("glue/mnli", ("premise", "hypothesis")),
    ),
    LabelledTask("sick", "entailment", ("neutral", "entailment", "contradiction")),
    LabelledTask("boolq", "entailment", NO_YES, tfds=Tfds("bool_q", ("passage", "question"), "answer")),
    LabelledTask("sick_relatedness", "similarity", metric="pearson", regression=(1, 5), folder="sick"),
    LabelledTask(
        "stsb", "similarity", metric="pearson", regression=(0, 5), tfds=Tfds("glue/stsb", ("sentence1", "sentence2"))
    ),
    LabelledTask("pan", "similarity", NO_YES),
    LabelledTask("mrpc", "similarity", NO_YES, "f1", tfds=Tfds("glue/mrpc", ("sentence1", "sentence2"))),
    LabelledTask("qqp", "similarity", NO_YES, "f1", tfds=Tfds("glue/qqp", ("question1", "question2"))),
    LabelledTask(
        "copa", "multiple_choice", tfds=Tfds("super_glue/copa", ("premise", "question", "choice1", "choice2"))
    ),
    LabelledTask("openbookqa", "multiple_choice"),
    LabelledTask("mctest160", "multiple_choice", folder="mctest"),
    LabelledTask("mctest500", "multiple_choice", folder="mctest"),
    LabelledTask("play_kind", "classification", KINDS),  # and these: plays.py
    LabelledTask("play_follows", "entailment", NO_YES),
    LabelledTask("play_speaker", "similarity", NO_YES),
    LabelledTask("play_next", "multiple_choice"),
    LabelledTask("play_order", "classification", ("moved", "written")),
)


def task_names() -> tuple[str, ...]:
    """The names of all declared tasks."""
    return tuple(task.name for task in TASKS)


def get_task(name: str) -> LabelledTask:
    """The task called `name`. Raises `InputError` with the nearest name."""
    found = next((task for task in TASKS if task.name == name), None)
    if found is None:
        raise unknown("task", name, task_names())
    return found
