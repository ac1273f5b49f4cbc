"""Decoding, ours beside Transformers' cached `generate`, alternating in one run.

GPT-2 124M with random weights, the same in both; prompts of 32 tokens, greedy. A step of the batch needs every weight
once, so the limit is the memory bandwidth: its share is weights read a second over the best measured read rate.

    python benchmarks/decode.py                    # 128 new tokens, 5 rounds, about 2 minutes on 2 CPU cores
    python benchmarks/decode.py --batch 8          # eight prompts at once
    python benchmarks/decode.py --small            # 4 layers, 256 wide: where overheads rule
    python benchmarks/decode.py --quick            # a few tokens from the small model: does it run?
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from machine import HAS_TORCH, alternate, memory_bandwidth, ratios, table, where

from gpt_jax.config import ModelConfig
from gpt_jax.generation import generate
from gpt_jax.interop import save_pretrained
from gpt_jax.model.decoder import GPT
from gpt_jax.model.int8 import quantized
from gpt_jax.training.host_memory import keep_freed_memory

Decode = Callable[[], list[int]]  # greedy continuations of all prompts, joined


def ours(config: ModelConfig, params: Any, prompts: list[list[int]], count: int) -> Decode:
    return lambda: [token for row in generate(config, params, prompts, count, temperature=0.0) for token in row]


def transformers_generate(config: ModelConfig, params: Any, prompts: list[list[int]], count: int, dtype: str) -> Decode:
    import torch
    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(config, params, f"{folder}/model")
        model: Any = AutoModelForCausalLM.from_pretrained(f"{folder}/model", dtype=dtype)
    model.generation_config.eos_token_id = None  # so that neither stops early
    tokens = torch.tensor(prompts)

    def decode() -> list[int]:
        with torch.inference_mode():
            out = model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=count, do_sample=False)
        return out[:, tokens.shape[1] :].flatten().tolist()

    return decode


def weight_bytes(params: Any) -> int:
    """What one token has to read: every weight but the table of positions (the token table is the output head)."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(params)) - params["wpe"].nbytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="timed continuations of each (default 5)")
    parser.add_argument("--new-tokens", type=int, default=128, help="tokens of a continuation (default 128)")
    parser.add_argument("--batch", type=int, default=1, help="prompts at once (default 1)")
    parser.add_argument("--small", action="store_true", help="4 layers, 256 wide, instead of GPT-2 124M")
    parser.add_argument("--quick", action="store_true", help="the small model, 8 tokens, 2 rounds")
    arguments = parser.parse_args()
    rounds, count = (2, 8) if arguments.quick else (arguments.rounds, arguments.new_tokens)

    keep_freed_memory()  # as `python -m experiments` does; it serves every decoder alike
    config = ModelConfig()
    if arguments.small or arguments.quick:
        config = dataclasses.replace(config, n_layer=4, n_head=4, d_model=256)
    bfloat16 = dataclasses.replace(config, param_dtype="bfloat16", compute_dtype="bfloat16")
    params = jax.jit(GPT(config).init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    prompts = np.random.default_rng(0).integers(0, config.vocab_size, (arguments.batch, 32)).tolist()

    runs = {}
    if HAS_TORCH:
        runs["transformers/float32"] = transformers_generate(config, params, prompts, count, "float32")
        runs["transformers/bfloat16"] = transformers_generate(config, params, prompts, count, "bfloat16")
    mine: dict[str, tuple[ModelConfig, Any]] = {
        "ours/float32": (config, params),
        "ours/bfloat16": (bfloat16, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)),
        "ours/int8": quantized(config, params),
    }
    runs |= {name: ours(*mine[name], prompts, count) for name in mine}
    bandwidth = max(memory_bandwidth(megabytes=64 if arguments.quick else 512).values())
    agreed = "not compared"
    if HAS_TORCH:
        same = [a == b for a, b in zip(runs["transformers/float32"](), runs["ours/float32"](), strict=True)]
        agreed = f"{sum(same)} of {len(same)}"
    times = alternate(runs, rounds)

    base, rows = next(iter(times)), []
    for name, values in times.items():
        steps = count / min(values)  # of the whole batch, a second
        best, median = arguments.batch * steps, arguments.batch * count / statistics.median(values)
        size = weight_bytes(mine[name.replace("transformers", "ours")][1])
        against = "-" if name == base else "{:.2f} / {:.2f}".format(*ratios(times, base, name))
        rows.append((name, f"{best:.1f}", f"{median:.1f}", f"{steps * size / bandwidth:.0%}", against))
    print(where())
    print(f"{weight_bytes(params) / 1e6:.0f} MB of float32 weights a token; reads: {bandwidth / 1e9:.1f} GB/s")
    print(f"greedy tokens that ours and transformers, both float32, agree on: {agreed}\n")
    print(table(("decoder", "best tokens/s", "median", "of bandwidth", f"times {base} (best / paired median)"), rows))


if __name__ == "__main__":
    main()
