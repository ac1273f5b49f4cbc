"""Batches as a pure function of (seed, m), at any number of processes; the validation split in order."""

import itertools
import json

import numpy as np
import pytest

from gpt_jax.config import DataConfig
from gpt_jax.data.pipeline import Windows, open_batches, validation_batches
from gpt_jax.data.prepare import prepare
from gpt_jax.errors import InputError


@pytest.fixture(scope="module")
def corpus(play, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    (folder / "play.jsonl").write_text(json.dumps({"text": play[:8000]}), encoding="utf-8")
    data = DataConfig(source="local", tokenizer="bytes", validation_fraction=0.2)
    return prepare(
        data, vocab_size=257, context_length=50, data_dir=folder, cache_dir=folder / "cache", shard_tokens=1000
    )


def test_a_batch_is_the_same_whenever_it_is_asked_for(corpus):
    first, second = (open_batches(corpus, batch_size=4, seed=5) for _ in range(2))
    order = [7, 0, 1000, 3, 7, 12345]
    for m in order:
        np.testing.assert_array_equal(first[m], second[m])
    assert first[0].dtype == np.int32 and first[0].shape == (4, 51)
    assert any((first[m] != open_batches(corpus, batch_size=4, seed=6)[m]).any() for m in range(3))


@pytest.mark.parametrize("first", [0, 13])
def test_iterating_gives_the_batches_in_order(corpus, first):
    batches = open_batches(corpus, batch_size=4, seed=5)
    steps = [(4 * m, 4) for m in range(first, first + 20)]
    for m, batch in zip(range(first, first + 20), batches.iterate(steps, 1), strict=True):
        np.testing.assert_array_equal(batch[0], batches[m])


@pytest.mark.parametrize("count", [1, 3, 4, 6, 11, 12])
@pytest.mark.parametrize("process_count", [1, 2])
def test_a_step_holds_its_sequences_in_order_and_padding_after_them(corpus, count, process_count):
    one = open_batches(corpus, batch_size=1, seed=5)
    shares = [
        open_batches(corpus, batch_size=4, seed=5, process_index=p, process_count=process_count).step(100, count, 3)
        for p in range(process_count)
    ]
    rows = np.concatenate(shares, axis=1).reshape(12, -1)
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(row, one[100 + place][0] if place < count else np.full(51, -1))


@pytest.mark.parametrize("process_count", [1, 2, 4])
def test_a_global_batch_is_the_same_at_any_number_of_processes(corpus, process_count):
    whole = open_batches(corpus, batch_size=8, seed=1)
    shares = [
        open_batches(corpus, batch_size=8, seed=1, process_index=p, process_count=process_count)
        for p in range(process_count)
    ]
    for m in (0, 3, 17, 40):
        np.testing.assert_array_equal(np.concatenate([share[m] for share in shares]), whole[m])


def test_an_epoch_is_a_permutation_and_the_next_another(corpus):
    batches, count = open_batches(corpus, batch_size=1, seed=3), corpus.train_windows
    windows = Windows(corpus, "train").read(list(range(count)))
    number = {window.tobytes(): i for i, window in enumerate(windows)}
    assert len(number) == count == 128
    epochs = [[number[batches[e * count + i][0].tobytes()] for i in range(count)] for e in range(3)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert epochs[0] != sorted(epochs[0])


def test_a_batch_may_span_two_epochs(corpus):
    one, many = open_batches(corpus, batch_size=1, seed=3), open_batches(corpus, batch_size=24, seed=3)
    np.testing.assert_array_equal(many[5], np.concatenate([one[m] for m in range(120, 144)]))


@pytest.mark.parametrize(("batch_size", "process_count"), [(1, 1), (4, 1), (8, 2), (32, 4), (100, 1)])
def test_validation_predicts_every_token_once_in_order(corpus, play, batch_size, process_count):
    shares = [
        list(validation_batches(corpus, batch_size=batch_size, process_index=p, process_count=process_count))
        for p in range(process_count)
    ]
    assert len({len(share) for share in shares}) == 1
    batches = [np.concatenate(rows) for rows in zip(*shares, strict=True)]
    assert all(batch.shape == (batch_size, 51) and batch.dtype == np.int32 for batch in batches)
    targets = np.concatenate(batches)[:, 1:].reshape(-1)
    assert bytes(targets[targets >= 0].tolist()).decode() == play[6400:8000]
    assert (targets >= 0).sum() == corpus.validation_tokens


def test_only_the_end_of_validation_is_padding(corpus):
    rows = np.concatenate(list(validation_batches(corpus, batch_size=7)))
    targets = rows[:, 1:].reshape(-1)
    real = corpus.validation_tokens
    assert (targets[:real] >= 0).all() and (targets[real:] == -1).all() and len(targets) > real


@pytest.mark.parametrize(("max_tokens", "windows"), [(1, 1), (50, 1), (51, 2), (500, 10), (10**9, 32)])
def test_validation_stops_after_the_tokens_asked_for(corpus, max_tokens, windows):
    batches = list(validation_batches(corpus, batch_size=3, max_tokens=max_tokens))
    whole = list(validation_batches(corpus, batch_size=3))
    rows = np.concatenate(batches)
    assert (rows[:, 0] >= 0).sum() == windows
    np.testing.assert_array_equal(rows[:windows], np.concatenate(whole)[:windows])


def test_a_batch_that_the_processes_cannot_share_is_refused(corpus):
    for opening in (
        lambda: open_batches(corpus, batch_size=6, seed=0, process_count=4),
        lambda: next(validation_batches(corpus, batch_size=6, process_count=4)),
    ):
        with pytest.raises(InputError, match="batch_size: 6 is not allowed: a multiple of the 4 processes"):
            opening()


def test_an_abandoned_iteration_stops_reading_ahead(corpus):
    iteration = open_batches(corpus, batch_size=4, seed=5).iterate(((4 * m, 4) for m in itertools.count()), 1)
    assert len(list(itertools.islice(iteration, 3))) == 3
    iteration.close()
    with pytest.raises(StopIteration):
        next(iteration)
