"""Reference values from PyTorch and Transformers: tiny random models, one step of training.

`python tests/make_golden.py` writes tests/golden/*.safetensors (torch and transformers must be installed:
extra `parity`). test_parity.py reads those files, and, where both import, calls `reference` itself.

What torch computes in one file: `weight/NAME`, `gradient/NAME` and `stepped/NAME` (after one AdamW step) for
each of Transformers' tensors, `tokens` (2, 20), `logits`, `loss`; settings and versions are in the metadata.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

GOLDEN = Path(__file__).parent / "golden"
MODEL_TYPES = ("gpt2", "openai-gpt")
# The epsilon is large: the first step's direction g / (|g| + epsilon) would make a sign out of the rounding
# errors in a key bias's gradient, which is exactly zero in exact arithmetic.
ADAMW = {"learning_rate": 0.01, "b1": 0.9, "b2": 0.95, "epsilon": 1e-4, "weight_decay": 0.1}


@dataclass(frozen=True)
class Reference:
    """One model as torch sees it. `config` is Transformers' config.json; arrays go by Transformers' names."""

    config: dict[str, Any]
    weights: dict[str, np.ndarray]
    tokens_BT: np.ndarray
    logits_BTV: np.ndarray
    loss: float  # mean next-token loss, nats
    gradients: dict[str, np.ndarray]
    stepped: dict[str, np.ndarray]
    versions: dict[str, str]


def build(model_type: str, seed: int, **changes: Any) -> Any:
    """A Transformers model with every parameter random, gains and biases too, in training mode."""
    import torch
    import transformers

    sizes = {"vocab_size": 61, "n_positions": 24, "n_embd": 16, "n_head": 4, "n_layer": 2}
    dropout = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
    classes = {
        "gpt2": (transformers.GPT2Config, transformers.GPT2LMHeadModel),
        "openai-gpt": (transformers.OpenAIGPTConfig, transformers.OpenAIGPTLMHeadModel),
    }
    config_class, model_class = classes[model_type]
    special = {"bos_token_id": None, "eos_token_id": None}
    config = config_class(**{**sizes, **dropout, **special, "attn_implementation": "eager", **changes})
    generator = torch.Generator().manual_seed(seed)
    model = model_class(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            gain = name.split(".")[-2].startswith("ln_") and name.endswith("weight")
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2 + (1.0 if gain else 0.0))
    return model


def reference(model_type: str, seed: int, **changes: Any) -> Reference:
    """Logits, loss, gradients and one AdamW step. Decay spares biases and layer-norm gains, as GPT-1's does."""
    import torch
    import transformers

    model = build(model_type, seed, **changes)
    # Fewer tokens than the context, and not every vocabulary entry: some embedding rows get no gradient.
    tokens_BT = torch.randint(0, 50, (2, 20), generator=torch.Generator().manual_seed(seed))

    def arrays(values) -> dict[str, np.ndarray]:
        return {name: value.detach().numpy().copy() for name, value in values}

    weights = arrays(model.named_parameters())
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    spared = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": ADAMW["weight_decay"]}, {"params": spared, "weight_decay": 0.0}],
        lr=ADAMW["learning_rate"],
        betas=(ADAMW["b1"], ADAMW["b2"]),
        eps=ADAMW["epsilon"],
    )
    logits_BTV = model(tokens_BT).logits
    loss = torch.nn.functional.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), tokens_BT[:, 1:].flatten())
    loss.backward()
    gradients = arrays((name, p.grad) for name, p in model.named_parameters())
    optimizer.step()
    config = {**model.config.to_dict(), "model_type": model_type}
    return Reference(
        config={key: value for key, value in config.items() if value is not None},
        weights=weights,
        tokens_BT=tokens_BT.numpy().astype(np.int32),
        logits_BTV=logits_BTV.detach().numpy(),
        loss=loss.item(),
        gradients=gradients,
        stepped=arrays(model.named_parameters()),
        versions={"torch": torch.__version__, "transformers": transformers.__version__},
    )


def save(value: Reference, path: Path) -> None:
    tensors = {"tokens": value.tokens_BT, "logits": value.logits_BTV}
    for group, arrays in (("weight", value.weights), ("gradient", value.gradients), ("stepped", value.stepped)):
        tensors |= {f"{group}/{name}": array for name, array in arrays.items()}
    metadata = {"config": value.config, "loss": value.loss, "versions": value.versions}
    tensors = {name: np.require(array, requirements="C") for name, array in tensors.items()}
    save_file(tensors, path, metadata={key: json.dumps(entry) for key, entry in metadata.items()})


def load(path: Path) -> Reference:
    with safe_open(path, framework="numpy") as file:
        metadata = {key: json.loads(text) for key, text in file.metadata().items()}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def group(prefix: str) -> dict[str, np.ndarray]:
        return {n.removeprefix(prefix + "/"): array for n, array in tensors.items() if n.startswith(prefix + "/")}

    return Reference(
        metadata["config"],
        group("weight"),
        tensors["tokens"],
        tensors["logits"],
        metadata["loss"],
        group("gradient"),
        group("stepped"),
        metadata["versions"],
    )


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for model_type in MODEL_TYPES:
        save(reference(model_type, seed=0), GOLDEN / f"{model_type}.safetensors")
