"""Bag-of-words gives the same figures whatever the number of threads that BLAS may use."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from gpt_jax.data.tasks import load_task
from gpt_jax.finetuning.bag_of_words import BagOfWords

THREADS = "num_threads"


@pytest.fixture(scope="module")
def plays():
    return load_task("play_kind", None)


def fitted_with(threads, plays):
    task, splits = plays
    with threadpool_limits(threads):
        model = BagOfWords(task).fit(splits["train"][:1000])
        return model.predict(splits["test"]), model._model.n_iter_


def test_the_number_of_threads_decides_no_bit(plays):
    (one_NK, one_steps), (two_NK, two_steps) = (fitted_with(threads, plays) for threads in (1, 2))
    np.testing.assert_array_equal(one_NK, two_NK)
    assert one_steps.tolist() == two_steps.tolist()


def test_the_threads_are_as_many_as_before_when_it_is_done(plays):
    task, splits = plays
    with threadpool_limits(2):
        before = [pool[THREADS] for pool in threadpool_info()]
        BagOfWords(task).fit(splits["train"][:50]).predict(splits["test"][:5])
        assert [pool[THREADS] for pool in threadpool_info()][: len(before)] == before
