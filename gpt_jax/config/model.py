"""The shape of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpt_jax.attention.patterns import Dense, Pattern, check_pattern
from gpt_jax.config.checks import Checks

# Far above any model that was ever trained: GPT-3 has 96 layers of width 12,288, and 50,257 entries.
MOST = {
    "vocab_size": 100_000_000,
    "context_length": 100_000_000,
    "n_layer": 10_000,
    "n_head": 10_000,
    "d_model": 1_000_000,
    "d_head": 1_000_000,
    "d_ff": 10_000_000,
}

CHECKED = 128  # tokens over which a config compares its patterns' parts with what they allow, pair by pair


@dataclass(frozen=True)
class ModelConfig:
    """The decoder's shape. One class covers GPT-1 (norm="post"), GPT-2 and GPT-3 (norm="pre").

    `d_head` None means d_model / n_head, and n_head must then divide d_model. `d_ff` None means 4 d_model.
    The patterns of `attention` repeat over the layers: `(Dense(), Banded(256))` alternates.
    `architecture` "lstm" is the baseline of model/lstm.py: n_layer layers of d_ff units, without attention.
    """

    architecture: Literal["transformer", "lstm"] = "transformer"
    vocab_size: int = 50257
    context_length: int = 1024  # tokens
    n_layer: int = 12
    n_head: int = 12
    d_model: int = 768
    d_head: int | None = None
    d_ff: int | None = None
    norm: Literal["post", "pre"] = "pre"
    layer_norm_epsilon: float = 1e-5
    attention: tuple[Pattern, ...] = (Dense(),)
    # "block": at the cost of the pairs. "mask": the definition, at dense cost. "kernel": splash on TPU or cuDNN on CUDA
    # (attention/kernels/choice.py), an error where neither applies. "auto": a kernel where one applies, else "block".
    attention_implementation: Literal["auto", "block", "mask", "kernel"] = "block"
    tie_embeddings: bool = True
    embedding_dropout: float = 0.1
    # GPT-1's released code drops entries of the embedding *matrix*, for input and output. Other codes drop
    # activations.
    embedding_dropout_target: Literal["activations", "matrix"] = "activations"
    attention_dropout: float = 0.1
    residual_dropout: float = 0.1
    # "gpt1": all N(0, std). "gpt2": residual projections N(0, std / sqrt(2 n_layer)), positions N(0, std / 2),
    # as released. "gpt2-unscaled": the same without 1 / sqrt(2 n_layer). "xavier": Glorot normal for the matrices.
    initialization: Literal["gpt1", "gpt2", "gpt2-unscaled", "xavier"] = "gpt2"
    initialization_std: float = 0.02
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    param_dtype: Literal["float32", "bfloat16"] = "float32"
    # Operands of the matrix products (sums are float32); "compute" means compute_dtype. With float32 activations,
    # "bfloat16" is the fastest on a CPU with bfloat16 units, and slower than "float32" on one without. "auto": the
    # commands that train measure it, and put the type here before the run begins (model/fastest.py).
    matmul_dtype: Literal["compute", "float32", "bfloat16", "auto"] = "compute"
    # Gradients of weights are formed with the narrower operand transposed, and turned (model/products.py). That makes a
    # float32 step 1.1 to 1.3 times as fast on a CPU; it rounds otherwise than the published runs did.
    turned_gradients: bool = False
    scan_layers: bool = False
    remat: Literal["none", "dots", "full"] = "none"
    # Positions of each sequence whose logits exist at once in training; None: the most that fit a quarter of a GiB.
    loss_chunk: int | None = None

    def __post_init__(self):
        check = Checks(self, "model")
        for name, most in MOST.items():
            check.at_most(most, name)
        check.at_least(1, *MOST, "loss_chunk")
        check.rates("embedding_dropout", "attention_dropout", "residual_dropout")
        check.above(0, "layer_norm_epsilon", "initialization_std")
        divides = self.d_head is not None or self.d_model % self.n_head == 0
        check.that("n_head", divides, f"a divisor of d_model = {self.d_model}, unless d_head is given")
        patterns = self.attention if isinstance(self.attention, tuple) else (self.attention,)
        object.__setattr__(self, "attention", patterns)
        some = len(patterns) > 0 and all(isinstance(pattern, Pattern) for pattern in patterns)
        check.that("attention", some, "one or more patterns, such as Dense(), Banded(window=256)")
        for pattern in patterns:
            check_pattern(pattern, min(self.context_length, CHECKED))
        period, layers = self.attention_period, self.n_layer
        whole = not self.scan_layers or layers % period == 0
        check.that("scan_layers", whole, f"n_layer = {layers} must be a multiple of {period}, the period of attention")

    @property
    def head_width(self) -> int:
        return self.d_head if self.d_head is not None else self.d_model // self.n_head

    @property
    def mlp_width(self) -> int:
        return self.d_ff if self.d_ff is not None else 4 * self.d_model

    @property
    def attention_period(self) -> int:
        """Layers after which the patterns repeat: 1 for a single pattern."""
        return len(self.attention)

    def pattern(self, layer: int) -> Pattern:
        """The pattern of layer `layer`, counted from 0."""
        return self.attention[layer % len(self.attention)]
