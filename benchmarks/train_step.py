"""One training step, ours beside a plain linen port and a GPT in PyTorch, alternating in one run.

All of them do the same work, without dropout: AdamW and a gradient clip of 1. "products" has bfloat16 operands, float32
sums and float32 activations; "turned" is model.turned_gradients=true; "compile" is `torch.compile`. The sizes:

    10m    6 layers of 384, 256 tokens, 12 sequences, 65 characters: nanoGPT's character preset, 10.7 M parameters
    10m8k  the same with 8,192 entries
    30m    8 layers of 512, 512 tokens, 4 sequences, 8,192 entries
    124m   GPT-2's smallest: 12 layers of 768, 512 tokens, 2 sequences, 50,257 entries

    python benchmarks/train_step.py                # 10m, 5 rounds, some minutes on 2 CPU cores
    python benchmarks/train_step.py --size 124m --only torch/float32 torch-compile/float32 ours/float32-turned
    python benchmarks/train_step.py --quick        # 3 rounds of a smaller model: does it run?
    python benchmarks/train_step.py --shares       # where one step's time goes, by kind of work
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shutil
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.profiler import ProfileData
from machine import HAS_TORCH, alternate, matmul_peaks, ratios, table, where
from torch_gpt import torch_gpt

from experiments.runs.profiling.breakdown import WINDOW
from gpt_jax.config import ModelConfig, OptimizerConfig, RunConfig, TrainingConfig
from gpt_jax.model.costs import forward_flops_per_token
from gpt_jax.training.host_memory import keep_freed_memory
from gpt_jax.training.state import init_state
from gpt_jax.training.step import make_train_step

# Sizes of the model by name, and the sequences of a batch.
SIZES: dict[str, tuple[dict[str, int], int]] = {
    "10m": (dict(vocab_size=65, context_length=256, n_layer=6, n_head=6, d_model=384), 12),
    "10m8k": (dict(vocab_size=8192, context_length=256, n_layer=6, n_head=6, d_model=384), 12),
    "30m": (dict(vocab_size=8192, context_length=512, n_layer=8, n_head=8, d_model=512), 4),
    "124m": (dict(vocab_size=50257, context_length=512, n_layer=12, n_head=12, d_model=768), 2),
    "quick": (dict(vocab_size=65, context_length=64, n_layer=2, n_head=2, d_model=128), 4),
}
LEARNING_RATE, DECAY, CLIP = 1e-3, 0.1, 1.0
Step = Callable[[], float]  # trains on the batch once more, waits, and returns the loss


def no_dropout(**sizes: Any) -> ModelConfig:
    return ModelConfig(**sizes, embedding_dropout=0.0, attention_dropout=0.0, residual_dropout=0.0)


def run_config(model: ModelConfig, sequences: int) -> RunConfig:
    return RunConfig(
        model=model,
        optimizer=OptimizerConfig(learning_rate=LEARNING_RATE, b2=0.99, weight_decay=DECAY, clip_norm=CLIP),
        training=TrainingConfig(batch_tokens=sequences * model.context_length),
    )


def ours(model: ModelConfig, tokens_BT1: np.ndarray) -> Step:
    config = run_config(model, len(tokens_BT1))
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


def torch_step(model: ModelConfig, tokens_BT1: np.ndarray, dtype: str, compiled: bool = False) -> Step:
    """The same step in PyTorch, eager or by `torch.compile`: fused causal attention, autocast for bfloat16."""
    import torch
    from torch.nn import functional as F

    module, tokens = torch_gpt(model), torch.from_numpy(tokens_BT1).long()
    groups = [
        {"params": [p for p in module.parameters() if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in module.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.99), fused=True)

    def loss_of():
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            logits = module(tokens[:, :-1])
            return F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())

    forward = torch.compile(loss_of) if compiled else loss_of

    def step() -> float:
        loss = forward()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), CLIP)
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
        "ours/float32-turned": lambda: ours(dataclasses.replace(model, turned_gradients=True), tokens_BT1),
        "ours/products": lambda: ours(dataclasses.replace(model, matmul_dtype="bfloat16"), tokens_BT1),
        "ours/bfloat16": lambda: ours(bfloat16, tokens_BT1),
        "ours/float32-scan": lambda: ours(dataclasses.replace(model, scan_layers=True), tokens_BT1),
        "ours/float32-mask": lambda: ours(dataclasses.replace(model, attention_implementation="mask"), tokens_BT1),
    }
    if HAS_TORCH:
        for dtype in ("float32", "bfloat16"):
            out[f"torch/{dtype}"] = partial(torch_step, model, tokens_BT1, dtype)
            if shutil.which("g++"):  # torch.compile makes C++ of a model
                out[f"torch-compile/{dtype}"] = partial(torch_step, model, tokens_BT1, dtype, compiled=True)
    return out


def shares(model: ModelConfig, tokens_BT1: np.ndarray, steps: int = 4) -> list[tuple[str, ...]]:
    """Where the time of our step goes, by kind of work: rows of a table, out of a profile of `steps` steps."""
    config = run_config(model, len(tokens_BT1))
    state, batch = jax.jit(lambda: init_state(config))(), jnp.asarray(tokens_BT1)[None]
    rest = batch, np.float32(LEARNING_RATE), np.uint32(0)
    step = jax.jit(make_train_step(config), donate_argnums=0).lower(state, *rest).compile()
    with tempfile.TemporaryDirectory() as folder:
        state, _ = step(state, *rest)
        jax.block_until_ready(state)
        with jax.profiler.trace(folder), jax.profiler.TraceAnnotation(WINDOW):
            for _ in range(steps):
                state, _ = step(state, *rest)
            jax.block_until_ready(state)
        found = work_shares(next(Path(folder).rglob("*.xplane.pb")), step.as_text() or "")
    return [(kind, f"{share:.1%}") for kind, share in sorted(found.items(), key=lambda item: -item[1])]


def work_shares(profile: Path, program: str) -> dict[str, float]:
    """The part of each kind of work in the processor time of all recorded operations of `program`."""
    scopes = {}
    for line in program.splitlines():
        if match := re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = \S+ ([\w\-]+)\(", line):
            scope = re.search(r'op_name="([^"]*)"', line)
            scopes[match[1]] = scope[1] if scope else ""
    spent: Counter[str] = Counter()
    for plane in ProfileData.from_file(str(profile)).planes:
        for line in plane.lines:
            for event in line.events:
                name = str(dict(event.stats).get("hlo_op", ""))
                if name in scopes and not name.startswith(("while", "call", "conditional")):
                    spent[kind_of_work(name, scopes[name])] += event.duration_ns
    return {kind: ns / spent.total() for kind, ns in spent.items()}


def kind_of_work(name: str, scope: str) -> str:
    """By an operation's name in the compiled program, and where the model's code has it."""
    product = "dot" in name or "ynn" in name
    if "/attention/" in scope and "/qkv/" not in scope and "/out/" not in scope:
        return "attention"
    if "hidden" in scope:
        return "products" if product else "copies" if re.match("copy|transpose", name) else "norms, gelu, the rest"
    if "jvp" in scope:
        return f"vocabulary: {'products' if product else 'the rest'}"
    return "optimizer"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=[name for name in SIZES if name != "quick"], default="10m", help="(10m)")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each (default 5)")
    parser.add_argument("--shares", action="store_true", help="only our step's time by kind of work, in float32")
    parser.add_argument("--quick", action="store_true", help="a 2-layer model, 3 rounds: checks that it runs")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the candidates (default: not scan, mask)")
    arguments = parser.parse_args()

    keep_freed_memory()  # as `python -m experiments` does; it serves every candidate alike
    sizes, batch = SIZES["quick" if arguments.quick else arguments.size]
    model, rounds = no_dropout(**sizes), 3 if arguments.quick else arguments.rounds
    tokens_BT1 = np.random.default_rng(0).integers(0, model.vocab_size, (batch, model.context_length + 1), np.int32)
    if arguments.shares:
        print(where())
        for name, turned in (("ours/float32", False), ("ours/float32-turned", True)):
            print(table((name, "share"), shares(dataclasses.replace(model, turned_gradients=turned), tokens_BT1)), "\n")
        return

    builders = candidates(model, tokens_BT1)
    usual = [name for name in builders if not name.endswith(("scan", "mask"))]
    if arguments.quick:  # compiling takes a minute
        usual = [name for name in usual if not name.startswith("torch-compile")]
    chosen = arguments.only or usual
    chosen.sort(key=lambda name: not name.startswith("torch"))  # the first is what the others are compared with
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
