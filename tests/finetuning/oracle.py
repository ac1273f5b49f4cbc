"""The released fine-tuning model (openai/finetune-transformer-lm, train.py) in float64 NumPy, from its formulas.

One matrix `we` holds tokens, special tokens and positions; an input is a pair of rows that are added; padding is
token 0; a mask M says which tokens are there.
"""

from typing import Any

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def norm(x, p, epsilon=1e-5):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + epsilon) * p["scale"] + p["bias"]


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def attention(x, p):
    q, k, v = np.moveaxis(np.einsum("btm,mnhd->btnhd", x, p["qkv"]["kernel"]) + p["qkv"]["bias"], 2, 0)
    w = np.einsum("bthd,bshd->bhts", q, k) / np.sqrt(q.shape[-1])
    w = np.where(np.tril(np.ones(w.shape[-2:], bool)), w, -1e9)
    out = np.einsum("bhts,bshd->bthd", softmax(w), v)
    return np.einsum("bthd,hdm->btm", out, p["out"]["kernel"]) + p["out"]["bias"]


def mlp(x, p):
    return gelu(x @ p["up"]["kernel"] + p["up"]["bias"]) @ p["down"]["kernel"] + p["down"]["bias"]


def double(tree) -> Any:
    return {k: double(v) if isinstance(v, dict) else np.asarray(v, np.float64) for k, v in tree.items()}


class Released:
    """`params` is our tree with the special tokens split off; `n_layer` blocks, post-LN."""

    def __init__(self, params, n_layer):
        p = double(params)
        self.blocks = [p["model"][f"block_{n}"] for n in range(n_layer)]
        self.tokens = len(p["model"]["wte"]) + 3
        self.we = np.concatenate([p["model"]["wte"], p["special"]["wte"], p["model"]["wpe"]])
        self.classifier = p["classifier"]
        self.extract = self.tokens - 1

    def hidden(self, tokens):
        """(S, T) token ids, padded with 0."""
        positions = self.tokens + np.arange(tokens.shape[1])
        h = self.we[tokens] + self.we[positions]
        for p in self.blocks:
            n = norm(h + attention(h, p["attention"]), p["ln_1"])
            h = norm(n + mlp(n, p["mlp"]), p["ln_2"])
        return h

    def language_model_losses(self, tokens, mask, rows=None):
        """The mean over each sequence's own targets; logits over all rows of `we`, or the first `rows`."""
        h = self.hidden(tokens)[:, :-1]
        logits = h @ self.we[:rows].T
        nats = -np.take_along_axis(log_softmax(logits), tokens[:, 1:, None], -1)[..., 0]
        return (nats * mask[:, 1:]).sum(1) / mask[:, 1:].sum(1)

    def extracted(self, tokens):
        """The hidden state at the first extract token, found by equality."""
        pool = np.argmax(tokens == self.extract, axis=1)
        return self.hidden(tokens)[np.arange(len(tokens)), pool]

    def scores(self, features):
        return features @ self.classifier["kernel"] + self.classifier["bias"]


def cross_entropy(scores, labels):
    return -log_softmax(scores)[np.arange(len(labels)), labels]
