"""Two baselines of a fine-tuned model: bag-of-words, and the majority's label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpt_jax.data.tasks import Example, LabelledTask


class BagOfWords:
    """A linear model on token counts, with the interface of a fine-tuned model (finetuning/classifier.py).

    Features of one text: counts of its words and punctuation, lower-cased, in n-grams of 1 to `ngrams`. A pair has
    both texts' counts, what they share (the least of both), and their absolute difference. An answer has its counts,
    and what it shares with context and question. Answers are scored one by one and compared. The model is logistic
    regression, or ridge regression for real labels. Both are scikit-learn's, with their default strength of 1. One
    thread fits: BLAS sums in another order with another number of threads, and then the solver stops elsewhere, a tenth
    of a point away or more.
    """

    def __init__(self, task: LabelledTask, ngrams: int = 1):
        from sklearn.feature_extraction.text import CountVectorizer

        self.task = task
        self._counts = CountVectorizer(ngram_range=(1, ngrams), token_pattern=r"\w+|[^\w\s]")
        self._model: Any = None

    def fit(self, examples: Sequence[Example]) -> BagOfWords:
        """Learns from labelled `examples`; returns itself."""
        with _one_thread():
            return self._fit(examples)

    def _fit(self, examples: Sequence[Example]) -> BagOfWords:
        from sklearn.dummy import DummyClassifier
        from sklearn.linear_model import LogisticRegression, Ridge

        self._counts.fit(text for example in examples for text in example.texts)
        labels = np.asarray([example.label for example in examples])
        if self.task.shape == "multiple_choice":
            labels = np.concatenate([np.arange(len(e.texts) - 2) == e.label for e in examples])
        one_class = self.task.regression is None and len(np.unique(labels)) == 1
        self._model = Ridge() if self.task.regression else LogisticRegression(max_iter=1000)
        self._model = (DummyClassifier() if one_class else self._model).fit(self._features(examples), labels)
        return self

    def predict(self, examples: Sequence[Example]) -> np.ndarray:
        """Probabilities, float64 `(N, K)` over labels or answers (0 where there is no answer); or values `(N,)`."""
        features = self._features(examples)
        if self.task.regression:
            return self._model.predict(features).astype(np.float64)
        found = self._model.predict_proba(features)
        if self.task.shape == "multiple_choice":
            right = found[:, list(self._model.classes_).index(True)] if True in self._model.classes_ else found[:, 0]
            counts = [len(e.texts) - 2 for e in examples]
            out_NK, start = np.zeros((len(examples), max(counts, default=0))), 0
            for row, count in zip(out_NK, counts, strict=True):
                row[:count] = right[start : start + count] / right[start : start + count].sum()
                start += count
            return out_NK
        out_NK = np.zeros((len(examples), len(self.task.labels)))
        out_NK[:, self._model.classes_] = found
        return out_NK

    def _features(self, examples: Sequence[Example]) -> Any:
        """Sparse features: a row per example, or per answer."""
        from scipy.sparse import hstack

        if self.task.shape == "multiple_choice":
            asked = self._counts.transform(" ".join(e.texts[:2]) for e in examples for _ in e.texts[2:])
            answers = self._counts.transform(answer for e in examples for answer in e.texts[2:])
            return hstack([answers, answers.minimum(asked)]).tocsr()
        first = self._counts.transform(e.texts[0] for e in examples)
        if self.task.shape == "classification":
            return first
        second = self._counts.transform(e.texts[1] for e in examples)
        return hstack([first, second, first.minimum(second), abs(first - second)]).tocsr()


def _one_thread() -> Any:
    """A context in which the libraries that NumPy, SciPy and scikit-learn have loaded by now use one thread each."""
    import sklearn.linear_model  # noqa: F401
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def majority(task: LabelledTask, train: Sequence[Example], examples: Sequence[Example]) -> np.ndarray:
    """Predictions that ignore the text, in the form of `BagOfWords.predict`: the labels' shares in `train`, or their
    mean.

    For multiple choice, the shares of the answers' places.
    """
    labels = [example.label for example in train]
    if task.regression:
        return np.full(len(examples), np.mean(np.asarray(labels, np.float64)))
    size = max(len(e.texts) - 2 for e in examples) if task.shape == "multiple_choice" else len(task.labels)
    shares_K = np.bincount(np.asarray(labels, np.int64), minlength=size)[:size] / len(labels)
    return np.tile(shares_K, (len(examples), 1))
