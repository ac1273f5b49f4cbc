"""One training step, ours beside a plain linen port and a GPT in PyTorch, alternating in one run.

The model is nanoGPT's character preset: 6 layers, 384 wide, 6 heads, 256 tokens, 12 sequences, 65 characters,
10.7 M parameters, no dropout; AdamW and a gradient clip of 1. All of them do the same work; "products" has bfloat16
operands, float32 sums and float32 activations.

    python benchmarks/train_step.py                # 10 rounds, about 4 minutes on 2 CPU cores
    python benchmarks/train_step.py --quick        # 3 rounds of a smaller model: does it run?
    python benchmarks/train_step.py --only ours/float32 linen/float32
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from machine import HAS_TORCH, alternate, matmul_peaks, ratios, table, where

from gpt_jax.config import ModelConfig, OptimizerConfig, RunConfig, TrainingConfig
from gpt_jax.model.costs import forward_flops_per_token
from gpt_jax.training.host_memory import keep_freed_memory
from gpt_jax.training.state import init_state
from gpt_jax.training.step import make_train_step

LEARNING_RATE, DECAY, CLIP = 1e-3, 0.1, 1.0
Step = Callable[[], float]  # trains on the batch once more, waits, and returns the loss


def no_dropout(**sizes: Any) -> ModelConfig:
    return ModelConfig(**sizes, embedding_dropout=0.0, attention_dropout=0.0, residual_dropout=0.0)


def ours(model: ModelConfig, tokens_BT1: np.ndarray) -> Step:
    config = RunConfig(
        model=model,
        optimizer=OptimizerConfig(learning_rate=LEARNING_RATE, b2=0.99, weight_decay=DECAY, clip_norm=CLIP),
        training=TrainingConfig(batch_tokens=tokens_BT1.shape[0] * model.context_length),
    )
    train_step = jax.jit(make_train_step(config), donate_argnums=0)
    state, batch = jax.jit(lambda: init_state(config))(), jnp.asarray(tokens_BT1)[None]

    def step() -> float:
        nonlocal state
        state, metrics = train_step(state, batch, np.float32(LEARNING_RATE), np.uint32(0))
        jax.block_until_ready(state)
        return float(metrics["train/loss"])

    return step


class LinenBlock(nn.Module):
    """A GPT-2 block as one writes it without measuring: nn.Dense, a full mask, nn.LayerNorm."""

    heads: int

    @nn.compact
    def __call__(self, x_BTM):
        B, T, M = x_BTM.shape
        qkv = nn.Dense(3 * M)(nn.LayerNorm(epsilon=1e-5)(x_BTM)).reshape(B, T, 3, self.heads, M // self.heads)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        logits_BHTS = jnp.einsum("bthd,bshd->bhts", q, k) / (M // self.heads) ** 0.5
        logits_BHTS = jnp.where(jnp.tril(jnp.ones((T, T), bool)), logits_BHTS, -jnp.inf)
        out_BTM = jnp.einsum("bhts,bshd->bthd", jax.nn.softmax(logits_BHTS), v).reshape(B, T, M)
        x_BTM = x_BTM + nn.Dense(M)(out_BTM)
        return x_BTM + nn.Dense(M)(nn.gelu(nn.Dense(4 * M)(nn.LayerNorm(epsilon=1e-5)(x_BTM))))


class LinenGPT(nn.Module):
    """The plain linen port: the baseline that ours has to beat."""

    config: ModelConfig

    @nn.compact
    def __call__(self, tokens_BT):
        c = self.config
        embed = nn.Embed(c.vocab_size, c.d_model)
        h_BTM = embed(tokens_BT) + nn.Embed(c.context_length, c.d_model)(jnp.arange(tokens_BT.shape[1]))
        for _ in range(c.n_layer):
            h_BTM = LinenBlock(c.n_head)(h_BTM)
        return embed.attend(nn.LayerNorm(epsilon=1e-5)(h_BTM))


def linen(model: ModelConfig, tokens_BT1: np.ndarray) -> Step:
    module, tokens = LinenGPT(model), jnp.asarray(tokens_BT1)
    matrices = lambda params: jax.tree.map(lambda p: p.ndim > 1, params)  # noqa: E731
    optimizer = optax.chain(
        optax.clip_by_global_norm(CLIP), optax.adamw(LEARNING_RATE, b2=0.99, weight_decay=DECAY, mask=matrices)
    )

    @partial(jax.jit, donate_argnums=(0, 1))
    def train_step(params, opt_state):
        def loss_of(params):
            logits_BTV = module.apply({"params": params}, tokens[:, :-1])
            return optax.softmax_cross_entropy_with_integer_labels(jnp.asarray(logits_BTV), tokens[:, 1:]).mean()

        loss, grads = jax.value_and_grad(loss_of)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    params = module.init(jax.random.key(0), tokens[:1, :-1])["params"]
    opt_state = optimizer.init(params)

    def step() -> float:
        nonlocal params, opt_state
        params, opt_state, loss = train_step(params, opt_state)
        jax.block_until_ready(params)
        return float(loss)

    return step


def torch_eager(model: ModelConfig, tokens_BT1: np.ndarray, dtype: str) -> Step:
    """The same step in eager PyTorch: fused causal attention, autocast when `dtype` is bfloat16."""
    import torch
    from torch import nn as tnn
    from torch.nn import functional as F

    torch.manual_seed(0)
    width, heads = model.d_model, model.n_head

    class TorchBlock(tnn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.ln_2 = tnn.LayerNorm(width), tnn.LayerNorm(width)
            self.qkv, self.out = tnn.Linear(width, 3 * width), tnn.Linear(width, width)
            self.up, self.down = tnn.Linear(width, 4 * width), tnn.Linear(4 * width, width)

        def forward(self, x):
            b, t, _ = x.shape
            q, k, v = self.qkv(self.ln_1(x)).view(b, t, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(attended.transpose(1, 2).reshape(b, t, width))
            return x + self.down(F.gelu(self.up(self.ln_2(x)), approximate="tanh"))

    class TorchGPT(tnn.Module):
        def __init__(self):
            super().__init__()
            self.wte = tnn.Embedding(model.vocab_size, width)
            self.wpe = tnn.Embedding(model.context_length, width)
            self.blocks = tnn.Sequential(*[TorchBlock() for _ in range(model.n_layer)])
            self.ln_f = tnn.LayerNorm(width)
            for parameter in self.parameters():
                if parameter.ndim > 1:
                    tnn.init.normal_(parameter, std=0.02)

        def forward(self, tokens):
            h = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
            return self.ln_f(self.blocks(h)) @ self.wte.weight.T

    module, tokens = TorchGPT(), torch.from_numpy(tokens_BT1).long()
    groups = [
        {"params": [p for p in module.parameters() if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in module.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.99), fused=True)

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            logits = module(tokens[:, :-1])
            loss = F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        tnn.utils.clip_grad_norm_(module.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def candidates(model: ModelConfig, tokens_BT1: np.ndarray) -> dict[str, Callable[[], Step]]:
    """What can be timed, by name; each is built only when it is asked for."""
    bfloat16 = dataclasses.replace(model, compute_dtype="bfloat16")
    out = {
        "linen/float32": lambda: linen(model, tokens_BT1),
        "ours/float32": lambda: ours(model, tokens_BT1),
        "ours/products": lambda: ours(dataclasses.replace(model, matmul_dtype="bfloat16"), tokens_BT1),
        "ours/bfloat16": lambda: ours(bfloat16, tokens_BT1),
        "ours/float32-scan": lambda: ours(dataclasses.replace(model, scan_layers=True), tokens_BT1),
        "ours/float32-mask": lambda: ours(dataclasses.replace(model, attention_implementation="mask"), tokens_BT1),
    }
    if HAS_TORCH:
        out["torch/float32"] = lambda: torch_eager(model, tokens_BT1, "float32")
        out["torch/bfloat16"] = lambda: torch_eager(model, tokens_BT1, "bfloat16")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="timed steps of each (default 10)")
    parser.add_argument("--quick", action="store_true", help="a 2-layer model, 3 rounds: checks that it runs")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the candidates (default: not scan, mask)")
    arguments = parser.parse_args()

    keep_freed_memory()  # as `python -m experiments` does; it serves every candidate alike
    model = no_dropout(vocab_size=65, context_length=256, n_layer=6, n_head=6, d_model=384)
    batch, rounds = 12, arguments.rounds
    if arguments.quick:
        model, batch, rounds = dataclasses.replace(model, n_layer=2, n_head=2, d_model=128, context_length=64), 4, 3
    tokens_BT1 = np.random.default_rng(0).integers(0, 65, (batch, model.context_length + 1), np.int32)

    builders = candidates(model, tokens_BT1)
    chosen = arguments.only or [name for name in builders if not name.endswith(("scan", "mask"))]
    wrong = [name for name in chosen if name not in builders]
    if wrong:
        parser.error(f"--only {wrong[0]!r}: allowed: {', '.join(builders)}")
    peak = max(matmul_peaks(size=512 if arguments.quick else 2048).values())
    times = alternate({name: builders[name]() for name in chosen}, rounds)

    tokens = batch * model.context_length
    flops = 3 * tokens * forward_flops_per_token(model)
    rows = []
    for name, values in times.items():
        best, median = min(values), statistics.median(values)
        against = "-" if chosen[0] == name else "{:.2f} / {:.2f}".format(*ratios(times, chosen[0], name))
        row = (name, f"{tokens / best:,.0f}", f"{tokens / median:,.0f}", f"{flops / best / peak:.0%}", against)
        rows.append(row)
    print(where())
    print(f"{tokens} tokens a step, {flops / 1e9:.0f} GFLOP; matrix-product peak {peak / 1e9:.0f} GFLOP/s\n")
    print(table(("step", "best tokens/s", "median", "of peak", f"times {chosen[0]} (best / paired median)"), rows))


if __name__ == "__main__":
    main()
