"""Scoring for evaluation: batched beside one request at a time, and with shared prefixes beside without.

A small model with random weights answers made-up requests: last words of passages, pairs of sentences, contexts with
four choices each, and the same behind examples. Every way to ask gives the same log-probabilities; the largest
difference is printed beside the times.

    python benchmarks/scoring.py                   # 2 layers, 64 wide, 3 rounds: a minute or two on 2 CPU cores
    python benchmarks/scoring.py --layers 4 --width 128
    python benchmarks/scoring.py --requests 200    # more of each kind
    python benchmarks/scoring.py --lambada         # 124M, 5,153 passages, beside their products alone: 7 minutes
    python benchmarks/scoring.py --quick           # a few requests, 1 round: does it run?
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from machine import alternate, ratios, seconds, table, where

from gpt_jax.config import ModelConfig
from gpt_jax.data.tokenizers import BytesTokenizer
from gpt_jax.evaluation.inference.encoding import Scored
from gpt_jax.evaluation.inference.scoring import TextModel, score, suitable_tokens
from gpt_jax.model.decoder import GPT

WAYS = {  # name -> how `score` is called
    "one by one": {"batch_tokens": 1, "share": False},
    "batched": {"share": False},
    "batched, prefixes shared": {"share": True},
}
LAMBADA = 5153  # passages of its test set
REPEATS = 20  # of the products, before and after
TOLERANCE = 1e-3  # nats, of log-probabilities of some hundred: float32


def small_model(vocab_size: int, layers: int, width: int) -> TextModel:
    """Random weights; of its tokenizer nothing is used, the requests are tokens already."""
    config = ModelConfig(vocab_size=vocab_size, context_length=1024, n_layer=layers, n_head=4, d_model=width)
    params = jax.jit(GPT(config).init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    return TextModel.of(config, params, BytesTokenizer())


def requests(kind: str, count: int, vocab_size: int) -> list[Scored]:
    """`count` items of one kind, with lengths as LAMBADA's, BLiMP's and multiple choice's are."""
    rng = np.random.default_rng(0)
    draw = lambda low, high: tuple(rng.integers(0, vocab_size, rng.integers(low, high)).tolist())  # noqa: E731
    rows: list[Scored] = []
    for _ in range(count):
        if kind == "last words":
            context, endings = draw(60, 130), [draw(1, 3)]
        elif kind == "pairs":
            context, endings = draw(1, 2), [draw(8, 16), draw(8, 16)]
        else:
            context = draw(80, 160) if kind == "four choices" else draw(500, 900)
            endings = [draw(2, 12) for _ in range(4)]
        rows += [Scored((*context, *ending), len(context)) for ending in endings]
    return rows


def worst_difference(model: TextModel, rows: Sequence[Scored]) -> float:
    """Between any two ways, in nats. Ends the program where it is above `TOLERANCE`."""
    found = [[answer.log_prob for answer in score(model, rows, **how)] for how in WAYS.values()]
    worst = float(np.ptp(np.array(found), axis=0).max())
    if worst > TOLERANCE:
        raise SystemExit(f"the ways to score differ by {worst:.2e} nats: at most {TOLERANCE:.0e} is allowed")
    return worst


def passages(count: int, vocab_size: int) -> list[Scored]:
    """Passages as long as LAMBADA's: about 78 tokens of GPT-2's, most of them 60 to 100; the last is scored."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.normal(78, 15, count), 40, 230).astype(int)
    return [Scored(tuple(rng.integers(0, vocab_size, length).tolist()), int(length) - 1) for length in lengths]


def products_alone(config: ModelConfig, tokens: int, answers: int) -> Callable[[], object]:
    """The matrix products with weights of one forward pass over `tokens`, and of `answers` rows of logits.

    Every layer has weights of its own. A product's operand is the result of the one before.
    """
    width, wide = config.d_model, config.mlp_width
    shapes = [(width, 3 * width), (width, width), (width, wide), (wide, width)]
    keys = iter(jax.random.split(jax.random.key(0), 1 + len(shapes) * config.n_layer))
    layers = [[0.02 * jax.random.normal(next(keys), shape) for shape in shapes] for _ in range(config.n_layer)]
    head = jax.random.normal(next(keys), (width, config.vocab_size))

    @jax.jit
    def run(x_TM, layers, head):
        for qkv, out, up, down in layers:
            x_TM = (x_TM @ qkv)[:, -width:] @ out @ up @ down
        return x_TM[:answers] @ head

    x_TM = jnp.ones((tokens, width))
    return lambda: run(x_TM, layers, head).block_until_ready()


def lambada(count: int, small: bool) -> str:
    """Seconds of scoring beside those of the products of the same tokens, without padding.

    A pass over all passages compiles; the next one is timed, and the products before and after it.
    """
    config = ModelConfig(n_layer=2, n_head=4, d_model=64, vocab_size=512) if small else ModelConfig()
    params = jax.jit(GPT(config).init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    model, rows = TextModel.of(config, params, BytesTokenizer()), passages(count, config.vocab_size)
    tokens = sum(len(row.tokens) - 1 for row in rows)
    at_once = suitable_tokens()
    alone = products_alone(config, at_once, round(at_once / tokens * count))
    repeated = lambda: [alone() for _ in range(REPEATS)]  # noqa: E731
    score(model, rows)
    alone()
    before = seconds(repeated)
    ours = seconds(partial(score, model, rows))
    products = (before + seconds(repeated)) / 2 / REPEATS * tokens / at_once
    size = f"{count:,} passages, {tokens:,} tokens, {config.n_layer} layers x {config.d_model}"
    found = [("scoring", f"{ours:.1f} s", f"{ours / products:.2f}"), ("products alone", f"{products:.1f} s", "1")]
    return table((size, "time", "times the products"), found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="timed passes of each (default 3)")
    parser.add_argument("--requests", type=int, default=64, help="items of each kind (default 64)")
    parser.add_argument("--vocabulary", type=int, default=4096, help="entries (default 4,096)")
    parser.add_argument("--layers", type=int, default=2, help="of the model (default 2)")
    parser.add_argument("--width", type=int, default=64, help="of the model (default 64)")
    parser.add_argument("--kinds", action="append", default=[], metavar="KIND", help="one kind; may be repeated (all)")
    parser.add_argument("--lambada", action="store_true", help="LAMBADA's lengths, beside the products alone")
    parser.add_argument("--quick", action="store_true", help="4 items of each kind, 1 round")
    arguments = parser.parse_args()
    rounds, count = (1, 4) if arguments.quick else (arguments.rounds, arguments.requests)

    if arguments.lambada:
        print(where(), lambada(8 if arguments.quick else LAMBADA, arguments.quick), sep="\n")
        return
    model, lines = small_model(arguments.vocabulary, arguments.layers, arguments.width), []
    for kind in arguments.kinds or ("last words", "pairs", "four choices", "four choices, few-shot"):
        rows = requests(kind, count if "few" not in kind else max(count // 4, 2), arguments.vocabulary)
        worst = worst_difference(model, rows)
        times = alternate({name: partial(score, model, rows, **how) for name, how in WAYS.items()}, rounds)
        for name, values in times.items():
            against = ["-", "-"]
            for n, base in enumerate(list(WAYS)[: list(WAYS).index(name)]):
                against[n] = "{:.2f} / {:.2f}".format(*ratios(times, base, name))
            rate = len(rows) / statistics.median(values)
            lines.append((kind, f"{len(rows)}", name, f"{rate:.1f}", *against, f"{worst:.0e}"))
    header = ("requests", "rows", "way", "rows/s", "times one by one", "times batched", "largest difference, nats")
    print(where())
    print("ratios: by the best round / median of the paired rounds\n")
    print(table(header, lines))


if __name__ == "__main__":
    main()
