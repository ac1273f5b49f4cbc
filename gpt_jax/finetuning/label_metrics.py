"""The metrics of labelled tasks, from scikit-learn and SciPy, and their intervals."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpt_jax.errors import unknown
from gpt_jax.intervals import Interval, bootstrap, proportion

METRICS = ("accuracy", "matthews", "pearson", "spearman", "f1")


def score(metric: str, predictions: Sequence[Any] | np.ndarray, labels: Sequence[Any] | np.ndarray) -> float:
    """The score of `predictions`, at best 1. F1 is of class 1. Matthews and the correlations of a constant are 0.

    Raises `InputError` for an unknown metric, ValueError for nothing to score.
    """
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    predicted, true = np.asarray(predictions), np.asarray(labels)
    if predicted.shape != true.shape or true.size == 0:
        raise ValueError(f"{predicted.shape} predictions for {true.shape} labels")
    if metric == "accuracy":
        return float((predicted == true).mean())
    constant = np.ptp(predicted.astype(np.float64)) == 0 or np.ptp(true.astype(np.float64)) == 0
    if metric != "f1" and constant:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if metric in ("pearson", "spearman"):
            from scipy import stats

            function = stats.pearsonr if metric == "pearson" else stats.spearmanr
            return float(function(predicted.astype(np.float64), true.astype(np.float64))[0])  # type: ignore[index]
        from sklearn import metrics

        if metric == "f1":
            return float(metrics.f1_score(true, predicted, zero_division=0))  # type: ignore[arg-type]
        return float(metrics.matthews_corrcoef(true, predicted))


def interval(
    metric: str, predictions: Sequence[Any] | np.ndarray, labels: Sequence[Any] | np.ndarray, seed: int = 0
) -> Interval:
    """`score` with its 95 % interval over examples: exact of an accuracy, else the bootstrap's, predictions and labels
    drawn in pairs."""
    predicted, true = np.asarray(predictions), np.asarray(labels)
    if metric == "accuracy":
        score(metric, predicted, true)  # raises
        return proportion(int((predicted == true).sum()), len(true))
    return bootstrap(lambda p, t: score(metric, p, t), predicted, true, vectorized=False, seed=seed)


# Out-of-distribution detection (Hendrycks et al. 2020, section 4): an anomaly score, here minus the largest softmax
# probability, should be high for examples from elsewhere.


def anomaly(probabilities_BC: np.ndarray) -> np.ndarray:
    """Minus the largest probability of each row: float `(B,)`."""
    return -np.asarray(probabilities_BC).max(-1)


def auroc(scores_in: Sequence[float] | np.ndarray, scores_out: Sequence[float] | np.ndarray) -> float:
    """The chance that an example from elsewhere has the higher anomaly score; ties count half."""
    from sklearn.metrics import roc_auc_score

    truth = np.concatenate([np.zeros(len(scores_in)), np.ones(len(scores_out))])
    return float(roc_auc_score(truth, np.concatenate([scores_in, scores_out])))


def far95(scores_in: Sequence[float] | np.ndarray, scores_out: Sequence[float] | np.ndarray) -> float:
    """The false alarm rate at 95 % recall: of the examples that belong, the part flagged by the highest threshold at
    which at least 95 % of those from elsewhere are flagged too."""
    threshold = np.quantile(np.asarray(scores_out), 0.05, method="lower")
    return float((np.asarray(scores_in) >= threshold).mean())
