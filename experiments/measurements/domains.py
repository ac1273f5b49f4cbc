"""How well a language model predicts text of domains that it has not read, beside held-out text of its own.

The figures are bits per byte, so that no tokenizer and no length of a text favours one side. No task and no label comes
between a model and a domain: what is lost there is lost in prediction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.experiment import FinishedRun

PIECES, CHARACTERS = 16, 2000  # of a domain
BATCH, BATCHES = 32, 8  # windows, and how many batches of the validation text are scored


def measure(
    run: FinishedRun, domains: Mapping[str, str], main: Sequence[str], count: int
) -> dict[str, float | list[float]]:
    """Bits per byte of each domain, `domain/NAME`; their mean over those in `main`, `ood/bits_per_byte`; and that less
    the validation text's, `gap/ood`. Over the last `count` checkpoints, the two sides as lists.

    Args:
      domains: name -> source (`open_source`).

    Raises:
      InputError: a source that is not there.
    """
    from gpt_jax.evaluation.perplexity import bits_per_byte, mean_loss
    from gpt_jax.loading import checkpoint_steps, restore

    assert run.folder is not None
    model, corpus = run.config.model, run.corpus
    texts = {name: pieces(source, run.data_dir) for name, source in domains.items()}
    encoded = {name: [np.asarray(corpus.tokenizer.encode(text)) for text in found] for name, found in texts.items()}

    def bits(params, batches, tokens: int, text_bytes: int) -> float:
        nats, _ = mean_loss(model, params, batches)
        return bits_per_byte(nats, tokens, text_bytes)

    curves: dict[str, list[float]] = {"iid/by_checkpoint": [], "ood/by_checkpoint": []}
    found: dict[str, float] = {}
    for step in sorted(checkpoint_steps(run.folder))[-count:]:
        params = restore(run.config, run.folder, lambda line: None, step).params
        iid = bits(params, evenly(corpus), corpus.validation_tokens, corpus.validation_bytes)
        found = {
            f"domain/{name}": bits(
                params,
                windows(encoded[name], model.context_length),
                sum(map(len, encoded[name])),
                sum(len(text.encode()) for text in texts[name]),
            )
            for name in domains
        }
        ood = float(np.mean([found[f"domain/{name}"] for name in main]))
        curves["iid/by_checkpoint"].append(iid)
        curves["ood/by_checkpoint"].append(ood)
        found |= {"iid/bits_per_byte": iid, "ood/bits_per_byte": ood, "gap/ood": ood - iid}
    return {**found, **curves}


def evenly(corpus: Any) -> Iterator[np.ndarray]:
    """Windows of the validation text, evenly spread over all of it, int32 `(BATCH, context + 1)`; of fewer, all."""
    from gpt_jax.data.mixture import draw
    from gpt_jax.data.pipeline import Mixed

    mixed, most = Mixed(corpus, "validation"), corpus.validation_windows
    numbers = np.unique(np.linspace(0, most - 1, BATCH * BATCHES).astype(int))
    for first in range(0, len(numbers), BATCH):
        read = mixed.read([draw(int(n), mixed.weights) for n in numbers[first : first + BATCH]])
        batch = np.full((BATCH, read.shape[1]), -1, np.int32)
        batch[: len(read)] = read
        yield batch


def pieces(source: str, data_dir: Path | None) -> list[str]:
    """`PIECES` texts of `CHARACTERS` characters each, evenly spread over all of a source; of a shorter one, fewer."""
    from gpt_jax.data.sources import open_source
    from gpt_jax.disk import cache_root

    documents = open_source(source, data_dir, cache_root()).documents()
    text = "".join(part for document in documents for part in document.parts())
    step = max(len(text) // PIECES, CHARACTERS)
    return [text[start : start + CHARACTERS] for start in range(0, len(text), step)][:PIECES]


def windows(texts: list[np.ndarray], context: int) -> Iterator[np.ndarray]:
    """Batches of windows, int32 `(BATCH, context + 1)`. Every token but a text's first is predicted once; -1 pads."""
    cut = [text[start : start + context + 1] for text in texts for start in range(0, len(text) - 1, context)]
    for first in range(0, len(cut), BATCH):
        batch = np.full((BATCH, context + 1), -1, np.int32)
        for row, window in enumerate(cut[first : first + BATCH]):
            batch[row, : len(window)] = window
        yield batch
