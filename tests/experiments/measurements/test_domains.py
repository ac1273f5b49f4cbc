"""Text of other domains: which text is scored, that every byte of it is, and the unit."""

import math
from itertools import pairwise
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments.experiment import FinishedRun, RunIdentity
from experiments.measurements import domains
from experiments.measurements.domains import BATCH, CHARACTERS, PIECES, evenly, measure, pieces, windows
from gpt_jax.config import DataConfig, ModelConfig, RunConfig
from gpt_jax.model.decoder import GPT

CONTEXT = 8


def test_pieces_are_of_one_length_and_spread_over_a_whole_source(tmp_path):
    """Every character is the number of its place's block of `CHARACTERS`, so a piece says where it comes from."""
    blocks = 3 * PIECES
    (tmp_path / "a.txt").write_text("".join(chr(200 + n) * CHARACTERS for n in range(blocks)), encoding="utf-8")
    assert pieces("local", tmp_path) == [chr(200 + n) * CHARACTERS for n in range(0, blocks, 3)]


def test_a_short_source_gives_all_that_it_has_once(tmp_path):
    (tmp_path / "a.txt").write_text("ab" * CHARACTERS + "c", encoding="utf-8")
    assert "".join(pieces("local", tmp_path)) == "ab" * CHARACTERS + "c"


@pytest.mark.parametrize("lengths", [(1, 2, 9), (CONTEXT, CONTEXT + 1, CONTEXT + 2), (700,)])
def test_every_token_but_a_texts_first_is_predicted_once_and_from_its_own_text(lengths):
    """Tokens are numbered through all texts, so that a pair (before, target) says where it comes from."""
    ends = np.cumsum(lengths)
    texts = [np.arange(end - length, end) for length, end in zip(lengths, ends, strict=True)]
    pairs = [
        (before, target)
        for batch in windows(texts, CONTEXT)
        for row in batch
        for before, target in pairwise(row)
        if target >= 0
    ]
    assert sorted(pairs) == sorted((n - 1, n) for text in texts for n in text[1:])


class Numbered:
    """Stands for a corpus' validation windows: each holds its own number."""

    weights = (1,)

    def __init__(self, corpus, split):
        assert split == "validation"

    def read(self, places):
        return np.array([[n % 257] * (CONTEXT + 1) for _, n in places], np.int32)


@pytest.mark.parametrize("count", [5, 10_000])
def test_own_text_is_scored_from_its_first_window_to_its_last(monkeypatch, count):
    monkeypatch.setattr("gpt_jax.data.pipeline.Mixed", Numbered)
    rows = np.concatenate([*evenly(SimpleNamespace(validation_windows=count))])[:, 0]
    rows = rows[rows >= 0]
    assert len(rows) == min(count, BATCH * domains.BATCHES)
    assert (rows[0], rows[-1]) == (0, (count - 1) % 257)


def test_a_model_that_knows_nothing_needs_the_logarithm_of_the_vocabulary_everywhere(monkeypatch, tmp_path):
    """All parameters 0: every byte costs log2(257) bits, at both checkpoints, and there is no gap."""
    model = ModelConfig(vocab_size=257, context_length=CONTEXT, n_layer=1, n_head=1, d_model=4)
    shapes = jax.eval_shape(GPT(model).init, jax.random.key(0), np.zeros((1, CONTEXT), np.int32))["params"]
    params = jax.tree.map(lambda shape: np.zeros(shape.shape, shape.dtype), shapes)
    monkeypatch.setattr("gpt_jax.data.pipeline.Mixed", Numbered)
    monkeypatch.setattr("gpt_jax.loading.checkpoint_steps", lambda folder: [2, 1])
    monkeypatch.setattr("gpt_jax.loading.restore", lambda *a: SimpleNamespace(params=params))
    corpus = SimpleNamespace(
        tokenizer=SimpleNamespace(encode=lambda text: list(text.encode())),
        validation_windows=5,
        validation_tokens=100,
        validation_bytes=100,
    )
    config = RunConfig(model=model, data=DataConfig())
    run = FinishedRun(RunIdentity("domains", "decoder", 0, "smoke"), config, params, corpus, folder=tmp_path)
    found = measure(run, {"plays": "plays_train"}, ("plays",), 2)
    for name in ("domain/plays", "iid/bits_per_byte", "ood/bits_per_byte"):
        assert found[name] == pytest.approx(math.log2(257), rel=1e-5)
    assert found["gap/ood"] == pytest.approx(0, abs=1e-5)
    assert np.shape(found["iid/by_checkpoint"]) == np.shape(found["ood/by_checkpoint"]) == (2,)


def test_the_last_checkpoint_counts_and_the_gap_is_what_is_lost_elsewhere(monkeypatch, tmp_path):
    """Losses are given, in bits a token, where a token is a byte: IID first, then domains a, b and c, by checkpoint."""
    losses = {20: iter([5.0, 7.0, 8.0, 9.0]), 30: iter([2.0, 3.0, 5.0, 100.0])}
    mean_loss = lambda model, step, batches: (next(losses[step]) * math.log(2), 1)  # noqa: E731
    monkeypatch.setattr("gpt_jax.evaluation.perplexity.mean_loss", mean_loss)
    monkeypatch.setattr("gpt_jax.loading.checkpoint_steps", lambda folder: [30, 10, 20])
    monkeypatch.setattr("gpt_jax.loading.restore", lambda *a: SimpleNamespace(params=a[3]))
    monkeypatch.setattr(domains, "pieces", lambda source, data_dir: ["text"])
    corpus = SimpleNamespace(
        tokenizer=SimpleNamespace(encode=lambda text: list(text.encode())), validation_tokens=9, validation_bytes=9
    )
    run = FinishedRun(RunIdentity("domains", "decoder", 0, "cpu"), RunConfig(), None, corpus, folder=tmp_path)
    found = measure(run, {name: name for name in "abc"}, ("a", "b"), 2)
    assert found["iid/by_checkpoint"] == pytest.approx([5, 2])
    assert found["ood/by_checkpoint"] == pytest.approx([7.5, 4])
    assert (found["iid/bits_per_byte"], found["ood/bits_per_byte"], found["gap/ood"]) == pytest.approx((2, 4, 2))
    assert found["domain/c"] == pytest.approx(100)
