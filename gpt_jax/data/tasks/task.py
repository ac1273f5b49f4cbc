"""What a labelled task is: its texts, and the label that is predicted from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpt_jax.errors import unknown

Shape = Literal["classification", "entailment", "similarity", "multiple_choice"]
Metric = Literal["accuracy", "matthews", "pearson", "spearman", "f1"]
# COPA asks for the cause or the effect of its premise: as text, what joins the two.
CONNECTIVES = {"cause": "because", "effect": "so"}


@dataclass(frozen=True)
class Example:
    """`texts` by shape: (text,); (premise, hypothesis); (a, b); (context, question, answer 1, ..., answer K), where
    the question may be "". `label` is a class's index, the right answer's index, or a score; None: unlabelled."""

    texts: tuple[str, ...]
    label: int | float | None
    id: str = ""
    group: str = ""  # genre, domain or source, where the data says


Splits = dict[str, list[Example]]


@dataclass(frozen=True)
class Tfds:
    """Where TFDS has a task: the dataset, and the features that are its texts."""

    name: str
    texts: tuple[str, ...]
    label: str = "label"
    id: str = "idx"


@dataclass(frozen=True)
class LabelledTask:
    """A labelled task. `labels` are the classes' names, in order, and () for scores and answers.

    `regression` is the range of a score. Early stopping, and a report, go by `metric` (finetuning/label_metrics.py).
    """

    name: str
    shape: Shape
    labels: tuple[str, ...] = ()
    metric: Metric = "accuracy"
    regression: tuple[float, float] | None = None
    tfds: Tfds | None = None
    reader: str = ""  # the function of readers.py, where it is not the task's name
    folder: str = ""  # of the original distribution, where it is not the task's name

    def __post_init__(self):
        if self.shape not in ("classification", "entailment", "similarity", "multiple_choice"):
            shapes = ("classification", "entailment", "similarity", "multiple_choice")
            raise unknown("shape", str(self.shape), shapes)
        if self.metric not in ("accuracy", "matthews", "pearson", "spearman", "f1"):
            raise unknown("metric", str(self.metric), ("accuracy", "matthews", "pearson", "spearman", "f1"))
