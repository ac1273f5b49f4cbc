"""Everything worth measuring on one accelerator, in one command of at most 8 minutes.

    python benchmarks/accelerator.py --out table          # writes table.md and table.json
    python benchmarks/accelerator.py --quick              # tiny sizes, on a CPU too: does it run?
    python benchmarks/accelerator.py --only exactness patterns

| part | question |
|---|---|
| `exactness` | do kernels give each pattern's value and gradient, beside the mask, at odd lengths? |
| `step` | GPT-2 124M, 1,024 tokens: tokens/s and MFU for each attention implementation, beside compiled PyTorch |
| `patterns` | each pattern, forward and backward, beside dense attention at the same length: where does it win? |
| `decoding` | 124M and 1.5B parameters at batch 1 and 32: tokens/s and the share of the memory's published rate |
| `seeds` | eight small models as one vmapped program, beside one of them |
| `repeats` | do two processes with the deterministic flags give the same bits? |

Nothing is read from a disk or a network, and NumPy, JAX, Flax and Optax are enough; PyTorch takes part where it is
installed with a GPU. A part that fails or finds no time left says so in its rows, and the other parts go on.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# JAX takes memory as it needs it, so that PyTorch finds some. A checkout serves without an installation.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
sys.path.append(str(Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
from accelerator_attention import Row, beside_dense, beside_mask
from machine import alternate, table
from torch_gpt import torch_gpt

from experiments.determinism import FLAGS
from gpt_jax.config import ModelConfig, OptimizerConfig, RunConfig, TrainingConfig
from gpt_jax.generation import generate
from gpt_jax.model.costs import forward_flops_per_token
from gpt_jax.model.decoder import GPT
from gpt_jax.parallel.chips import TPUS, peak_flops
from gpt_jax.sharding import on_cuda
from gpt_jax.training.state import init_state
from gpt_jax.training.step import make_train_step

STEPS = 4  # of training in a row, before their result is waited for
SECONDS = 450  # of the 8 minutes, for all parts; no part begins after that
# Bytes/s, from NVIDIA's data sheets; those of TPUs stand beside their FLOP/s.
MEMORY_RATES = {"NVIDIA A100-SXM4-80GB": 2039e9, "NVIDIA H100 80GB HBM3": 3350e9, "NVIDIA H200": 4800e9}
MEMORY_RATES |= {kind: chip.memory_rate for chip in TPUS.values() for kind in chip.kinds}
NO_DROPOUT: dict[str, Any] = {"embedding_dropout": 0.0, "attention_dropout": 0.0, "residual_dropout": 0.0}


@dataclasses.dataclass(frozen=True)
class Size:
    """What `--quick` makes small."""

    model: ModelConfig
    large: ModelConfig
    small: ModelConfig
    batch: int
    new_tokens: int
    lengths: tuple[int, ...]
    odd: int
    rounds: int


SMALL: dict[str, Any] = {"vocab_size": 1024, "context_length": 256, "n_layer": 4, "n_head": 4, "d_model": 128}
FULL = Size(
    model=ModelConfig(compute_dtype="bfloat16", **NO_DROPOUT),  # GPT-2 124M
    large=ModelConfig(n_layer=48, n_head=25, d_model=1600, **NO_DROPOUT),
    small=ModelConfig(**SMALL, compute_dtype="bfloat16", **NO_DROPOUT),
    batch=64,
    new_tokens=128,
    lengths=(2048, 8192, 32_768, 65_536),
    odd=8449,
    rounds=5,
)
TINY = ModelConfig(vocab_size=128, context_length=64, n_layer=2, n_head=2, d_model=32, **NO_DROPOUT)
QUICK = Size(TINY, TINY, TINY, batch=2, new_tokens=4, lengths=(256, 512), odd=131, rounds=2)


def exactness(size: Size) -> Iterator[Row]:
    """The largest difference from the mask, as a part of the largest value, by NumPy's float32 arrays on the device."""
    return beside_mask(size.odd)


def patterns(size: Size) -> Iterator[Row]:
    """Forward and backward: 12 heads of 64, one sequence. Above 1: faster than dense attention at this length."""
    return beside_dense(size.lengths, size.rounds)


def training(model: ModelConfig, batch: int, count: int = 1) -> Callable[[], float]:
    """`count` steps of `batch` sequences; waits for the last one's loss."""
    config = RunConfig(
        model=model,
        optimizer=OptimizerConfig(learning_rate=1e-4),
        training=TrainingConfig(batch_tokens=batch * model.context_length),
    )
    step, state = jax.jit(make_train_step(config), donate_argnums=0), jax.jit(lambda: init_state(config))()
    tokens = np.random.default_rng(0).integers(0, model.vocab_size, (1, batch, model.context_length + 1), np.int32)
    on_device = jnp.asarray(tokens)

    def run() -> float:
        nonlocal state
        for _ in range(count):
            state, metrics = step(state, on_device, np.float32(1e-4), np.uint32(0))
        return float(metrics["train/loss"])

    return run


def step(size: Size) -> Iterator[Row]:
    """One after the other, since two models with their moments may not fit; the first is timed again at the end."""
    context, peak = size.model.context_length, peak_flops()
    flops = 3 * forward_flops_per_token(size.model)

    def row(name: str, batch: int, run: Callable[[], Callable[[], object]]) -> Row:
        about = {"step": name, "sequences": batch}
        try:
            rate = STEPS * batch * context / min(alternate({name: run()}, size.rounds)[name])
        except Exception as error:  # one that does not fit, or does not apply
            return {**about, "tokens/s": "not measured", "MFU": first_line(error)}
        mfu = "unknown" if peak is None else f"{flops * rate / peak:.1%}"
        return {**about, "tokens/s": f"{rate:,.0f}", "MFU": mfu}

    yield row("PyTorch, compiled", size.batch, lambda: torch_training(size))  # first: JAX gives no memory back
    if "torch" in sys.modules:
        gc.collect()
        sys.modules["torch"].cuda.empty_cache()
    for name, batch in (("kernel", size.batch), ("block", size.batch // 2), ("mask", 2), ("kernel", size.batch)):
        model = dataclasses.replace(size.model, attention_implementation=name)
        yield row(f"ours, {name}", batch, functools.partial(training, model, batch, STEPS))


def first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else type(error).__name__


def torch_training(size: Size, device: str = "cuda") -> Callable[[], float]:
    """The same model in PyTorch: bfloat16 autocast, fused AdamW, `torch.compile`, flash attention."""
    import torch
    from torch.nn import functional as F

    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("PyTorch has no GPU here")
    module = torch_gpt(size.model).to(device)
    optimizer = torch.optim.AdamW(module.parameters(), 1e-4, fused=True)
    data = torch.randint(0, size.model.vocab_size, (size.batch, size.model.context_length + 1), device=device)

    @torch.compile
    def loss_of(tokens):
        logits = module(tokens[:, :-1])
        return F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())

    def run() -> float:
        for _ in range(STEPS):
            with torch.autocast(device, torch.bfloat16):
                loss = loss_of(data)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return run


def decoding(size: Size) -> Iterator[Row]:
    """Greedy, after 32 tokens, in bfloat16. Each token reads every weight once, for the whole batch."""
    rate = MEMORY_RATES.get(jax.devices()[0].device_kind)
    for name, config in (("124M", size.model), ("1.5B", size.large)):
        config = dataclasses.replace(
            config, param_dtype="bfloat16", compute_dtype="bfloat16", attention_implementation="auto"
        )
        params = weights(config)
        read = 2 * (sum(leaf.size for leaf in jax.tree.leaves(params)) - params["wpe"].size)
        for batch in (1, 32):
            prompts = np.random.default_rng(0).integers(0, config.vocab_size, (batch, 32)).tolist()
            run = functools.partial(generate, config, params, prompts, size.new_tokens, temperature=0.0)
            best = min(alternate({"decode": run}, size.rounds)["decode"]) / size.new_tokens
            share = "unknown" if rate is None else f"{read / best / rate:.0%}"
            yield {"model": name, "batch": batch, "tokens/s": f"{batch / best:,.0f}", "of memory's rate": share}


def weights(config: ModelConfig) -> Any:
    """Parameters of small random values: a program that initialises 48 layers takes longer to compile than to run."""
    shapes = jax.eval_shape(GPT(config).init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    values = np.random.default_rng(0).normal(0, 0.02, max(leaf.size for leaf in jax.tree.leaves(shapes)))
    return jax.tree.map(lambda leaf: jnp.asarray(values[: leaf.size].reshape(leaf.shape), leaf.dtype), shapes)


def seeds(size: Size, copies: int = 8) -> Iterator[Row]:
    """Training steps of one model, and of eight with other seeds under `jax.vmap`."""
    config = RunConfig(model=size.small, training=TrainingConfig(batch_tokens=16 * size.small.context_length))
    shape = (1, 16, size.small.context_length + 1)
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, size.small.vocab_size, (copies, *shape), np.int32))
    plain = make_train_step(config)
    one, many = jax.jit(plain), jax.jit(jax.vmap(plain, in_axes=(0, 0, None, 0)))
    state = jax.jit(lambda: init_state(config, 0))()
    states = jax.jit(jax.vmap(lambda seed: init_state(config, seed)))(jnp.arange(copies))
    rate, numbers = np.float32(1e-3), jnp.arange(copies, dtype=jnp.uint32)
    runs = {
        "one": lambda: jax.block_until_ready(one(state, tokens[0], rate, numbers[0])),
        f"{copies} at once": lambda: jax.block_until_ready(many(states, tokens, rate, numbers)),
    }
    times = {name: min(values) for name, values in alternate(runs, size.rounds).items()}
    for name, best in times.items():
        models = 1 if name == "one" else copies
        gain = models * times["one"] / best
        yield {"models": name, "ms a step": f"{best * 1e3:.2f}", "throughput, times one": f"{gain:.2f}"}


def repeats(size: Size) -> Iterator[Row]:
    """Two processes train 20 steps with the flags of `--deterministic`; the losses are compared bit by bit."""
    flags = " ".join(FLAGS) if on_cuda() else ""
    share = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()}
    share |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    words = [sys.executable, __file__, "--losses", *(["--quick"] if size is QUICK else [])]
    done = [subprocess.run(words, env=share, capture_output=True, encoding="utf-8", timeout=200) for _ in range(2)]
    texts = [process.stdout for process in done]
    if not all(texts):
        yield {"flags": flags or "none", "the same bits": "not measured", "losses": done[0].stderr[-200:]}
    else:
        same = "yes" if texts[0] == texts[1] else "no"
        yield {"flags": flags or "none needed", "the same bits": same, "losses": f"{len(texts[0].split())} compared"}


PARTS: dict[str, Callable[[Size], Iterator[Row]]] = {
    "exactness": exactness,
    "step": step,
    "patterns": patterns,
    "decoding": decoding,
    "seeds": seeds,
    "repeats": repeats,
}


def measure(name: str, size: Size, until: float) -> list[Row]:
    """A part's rows. One that begins after `until`, or fails, has a row that says "not measured" and why."""
    if time.monotonic() > until:
        return [{name: "not measured", "why": "no time was left"}]
    rows: list[Row] = []
    try:
        for row in PARTS[name](size):
            rows.append(row)
            print(f"{name}: {row}", file=sys.stderr, flush=True)
            if time.monotonic() > until:
                rows.append({**dict.fromkeys(row, ""), next(iter(row)): "not measured: no time was left"})
                break
    except Exception as error:  # one part's failure must not take the others' figures with it
        rows.append({name: "not measured", "why": first_line(error)})
    return rows


def to_markdown(results: dict[str, list[Row]], about: Row) -> str:
    parts = ["# One accelerator", table(("what", "value"), [(key, str(value)) for key, value in about.items()])]
    for name, rows in results.items():
        header = tuple(dict.fromkeys(key for row in rows for key in row))
        summary = (PARTS[name].__doc__ or "").strip().splitlines()[0]
        cells = [tuple(str(row.get(key, "")) for key in header) for row in rows]
        parts += [f"## {name}", summary, table(header, cells)]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), metavar="PART", help="some parts (default: all)")
    parser.add_argument("--out", type=Path, metavar="NAME", help="writes NAME.md and NAME.json")
    parser.add_argument("--losses", action="store_true", help=argparse.SUPPRESS)  # what `repeats` runs twice
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    if arguments.losses:
        run = training(size.small, 16)
        print(*(run().hex() for _ in range(20)), sep="\n")
        return
    start = time.monotonic()
    device = jax.devices()[0]
    results = {name: measure(name, size, start + SECONDS) for name in arguments.only or PARTS}
    about = {"device": device.device_kind, "platform": device.platform, "jax": jax.__version__}
    about |= {"XLA_FLAGS": os.environ.get("XLA_FLAGS", ""), "seconds": round(time.monotonic() - start)}
    text = to_markdown(results, about)
    print(text)
    if arguments.out is not None:
        arguments.out.with_suffix(".md").write_text(text, encoding="utf-8")
        content = json.dumps({"about": about, "results": results}, indent=1)
        arguments.out.with_suffix(".json").write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
