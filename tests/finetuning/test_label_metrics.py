"""Scores against hand-made counts."""

import numpy as np
import pytest

from gpt_jax.errors import InputError
from gpt_jax.finetuning.label_metrics import anomaly, auroc, far95, interval, score

TRUE = [1, 1, 1, 0, 0, 0, 0, 1]
GUESS = [1, 1, 0, 0, 0, 1, 0, 1]  # 3 true positives, 1 false one, 1 false negative, 3 true negatives


def test_metrics_follow_from_the_counts():
    assert score("accuracy", GUESS, TRUE) == 6 / 8
    assert score("f1", GUESS, TRUE) == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert score("matthews", GUESS, TRUE) == pytest.approx((3 * 3 - 1 * 1) / np.sqrt(4 * 4 * 4 * 4))


def test_correlations_are_those_of_the_definition():
    x, y = [1.0, 2.0, 3.0, 10.0], [0.0, 2.0, 1.0, 3.0]
    dx, dy = np.array(x) - np.mean(x), np.array(y) - np.mean(y)
    assert score("pearson", x, y) == pytest.approx((dx * dy).sum() / np.sqrt((dx**2).sum() * (dy**2).sum()))
    assert score("spearman", x, y) == pytest.approx(1 - 6 * 2 / (4 * 15))  # ranks differ by 0, 1, 1, 0


@pytest.mark.parametrize("metric", ["matthews", "pearson", "spearman", "f1"])
def test_a_constant_guess_scores_zero_without_a_warning(metric, recwarn):
    assert score(metric, [0, 0, 0], [0, 1, 1]) == 0
    assert not recwarn.list


def test_an_unknown_metric_is_named():
    with pytest.raises(InputError, match=r"acuracy.*accuracy"):
        score("acuracy", [1], [1])


def test_the_interval_holds_the_score_and_narrows_with_more_examples():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 2000)
    guess = np.where(rng.random(2000) < 0.8, truth, 1 - truth)
    for metric in ("accuracy", "pearson"):
        few, many = interval(metric, guess[:50], truth[:50]), interval(metric, guess[:600], truth[:600])
        assert many.low < many.estimate == score(metric, guess[:600], truth[:600]) < many.high
        assert few.high - few.low > 2.5 * (many.high - many.low)
    many = interval("accuracy", guess, truth)
    assert many.high - many.low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 2000), rel=0.1)


def test_none_right_of_twenty_is_not_surely_none():
    assert interval("accuracy", [0] * 20, [1] * 20).high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_detection_of_strangers():
    assert auroc([1, 2, 3], [4, 5]) == 1 and auroc([1, 4], [1, 4]) == 0.5
    outside = np.arange(100)  # 95 of them are at least 5
    assert far95(np.array([0, 4, 5, 200]), outside) in (0.5, 0.75)
    assert far95(np.arange(-100, 0), outside) == 0
    np.testing.assert_allclose(anomaly(np.array([[0.2, 0.8], [0.5, 0.5]])), [-0.8, -0.5])
