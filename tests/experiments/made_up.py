"""A made-up experiment, and run folders written by hand."""

import json
from pathlib import Path
from typing import Any

from experiments.experiment import Comparison, Experiment, Scale
from experiments.runs.results import read_results
from gpt_jax.config import ModelConfig, RunConfig, TrainingConfig, digest, to_dict
from gpt_jax.training.plan import make_plan

BASE = RunConfig(
    model=ModelConfig(vocab_size=300, context_length=16, n_layer=1, n_head=1, d_model=8),
    training=TrainingConfig(train_tokens=320, batch_tokens=32),
)


def made_up(**changes) -> Experiment:
    """Two arms, new and old; new is expected to have a loss lower by at least 0.01."""
    values = {
        "source": "nowhere",
        "base": BASE,
        "arms": {"new": {"model.norm": "pre"}, "old": {"model.norm": "post"}},
        "scales": {"smoke": Scale({}, seeds=(0, 1, 2)), "cpu": Scale({"model.n_layer": 2}, seeds=(0, 1, 2))},
        "comparisons": (Comparison("new", "old", "lower", "validation/loss", 0.01),),
        "name": "made_up",
        "claim": "New is better than old.",
    }
    return Experiment(**{**values, **changes})


def write_run(out: Path, e: Experiment, arm: str, seed: int, loss=3.0, scale="smoke", metrics: Any = None) -> Path:
    """A finished run's folder, as the runner leaves it, pictures and checkpoints apart."""
    config = e.config(arm, scale, seed)
    folder = out / e.name / arm / f"seed-{seed}"
    write_folder(folder, config, {"experiment": e.name, "arm": arm, "seed": seed, "scale": scale}, loss, metrics)
    return folder


def write_folder(folder: Path, config: RunConfig, identity: dict, loss=3.0, metrics: Any = None) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    content = {**to_dict(config), "digest": digest(config), "identity": identity}
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "environment.json").write_text("{}", encoding="utf-8")
    tokens = make_plan(config).tokens
    lines = [{"step": t, "tokens": int(tokens[t]), "train/loss": loss + 1 / t} for t in range(1, len(tokens))]
    lines.append({"step": len(tokens) - 1, "tokens": int(tokens[-1]), "validation/loss": loss})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    values = {
        "validation/loss": loss,
        "validation/bits_per_byte": loss / 2,
        "diverged": 0.0,
        "validation/unigram_entropy": 6.0,
        "tokens": int(tokens[-1]),
    }
    result = {**identity, "metrics": {**values, **(metrics or {})}, "config_digest": digest(config), "data_digest": "d"}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return result


def losses(out, e, new, old):
    """A run of each arm for every pair of final losses; gives the results, read back."""
    for seed, (ours, theirs) in enumerate(zip(new, old, strict=True)):
        write_run(out, e, "new", seed, ours, "cpu")
        write_run(out, e, "old", seed, theirs, "cpu")
    return read_results(out / e.name, e)
