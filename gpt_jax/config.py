"""A run is one frozen value: every number that shapes it is a field here, typed, checked and dumped.

`override` is the only way to change one by name; the command line, sweeps and notebooks share it.
Sizes are counted in tokens; steps and accumulation are derived (training/plan.py).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gpt_jax.errors import InputError, unknown
from gpt_jax.model.patterns import Dense, Pattern, parse_patterns


def _require(holds: bool, key: str, value: Any, allowed: str) -> None:
    if not holds:
        raise InputError(f"{key}: {value!r} is not allowed: {allowed}")


def _check_values(config: Any, section: str) -> None:
    """Every field annotated with a Literal holds one of its values, and every number is finite."""
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        _require(not isinstance(value, float) or math.isfinite(value), f"{section}.{f.name}", value, "a finite number")
    for name, kind in typing.get_type_hints(type(config)).items():
        if typing.get_origin(kind) is Literal:
            value, allowed = getattr(config, name), typing.get_args(kind)
            if value not in allowed:
                raise unknown(f"{section}.{name}", str(value), [str(a) for a in allowed])


@dataclass(frozen=True)
class ModelConfig:
    """The decoder's shape. One class covers GPT-1 (norm="post"), GPT-2 and GPT-3 (norm="pre").

    `d_head` None means d_model / n_head, which must divide; `d_ff` None means 4 d_model.
    `attention` is tiled over the layers: `(Dense(), Banded(256))` alternates.
    `architecture` "lstm" is the baseline of model/baselines.py: n_layer layers of d_ff units, no attention.
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
    # "block": at the cost of the pairs. "mask": the definition, at dense cost. "kernel": splash or cuDNN where they
    # apply (model/kernels.py), else "block".
    attention_implementation: Literal["block", "mask", "kernel"] = "block"
    tie_embeddings: bool = True
    embedding_dropout: float = 0.1
    # GPT-1's released code drops entries of the embedding *matrix*, input and output alike; others, activations.
    embedding_dropout_target: Literal["activations", "matrix"] = "activations"
    attention_dropout: float = 0.1
    residual_dropout: float = 0.1
    # "gpt1": all N(0, std). "gpt2": residual projections N(0, std / sqrt(2 n_layer)), positions N(0, std / 2),
    # as released. "xavier": Glorot normal for the matrices.
    initialization: Literal["gpt1", "gpt2", "xavier"] = "gpt2"
    initialization_std: float = 0.02
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    param_dtype: Literal["float32", "bfloat16"] = "float32"
    # Operands of the matrix products (sums are float32); "compute": as compute_dtype. On a CPU, "bfloat16" here with
    # float32 activations is the fastest.
    matmul_dtype: Literal["compute", "float32", "bfloat16"] = "compute"
    scan_layers: bool = False
    remat: Literal["none", "dots", "full"] = "none"
    # Positions of each sequence whose logits exist at once in training; none: as many as fit a quarter of a GiB.
    loss_chunk: int | None = None

    def __post_init__(self):
        _check_values(self, "model")
        for name in ("vocab_size", "context_length", "n_layer", "n_head", "d_model"):
            _require(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "at least 1")
        for name in ("d_head", "d_ff", "loss_chunk"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"model.{name}", value, "at least 1, or none")
        for name in ("embedding_dropout", "attention_dropout", "residual_dropout"):
            _require(0 <= getattr(self, name) < 1, f"model.{name}", getattr(self, name), "0 <= rate < 1")
        for name in ("layer_norm_epsilon", "initialization_std"):
            _require(getattr(self, name) > 0, f"model.{name}", getattr(self, name), "more than 0")
        _require(
            self.d_head is not None or self.d_model % self.n_head == 0,
            "model.n_head", self.n_head, f"a divisor of d_model = {self.d_model}, unless d_head is given",
        )  # fmt: skip
        patterns = self.attention if isinstance(self.attention, tuple) else (self.attention,)
        object.__setattr__(self, "attention", patterns)
        _require(
            len(patterns) > 0 and all(isinstance(p, Pattern) for p in patterns),
            "model.attention", self.attention, "one or more patterns, such as Dense(), Banded(window=256)",
        )  # fmt: skip
        _require(
            not self.scan_layers or self.n_layer % self.attention_period == 0,
            "model.scan_layers", True, f"n_layer = {self.n_layer} must be a multiple of {self.attention_period}, "
            "the period of attention",
        )  # fmt: skip

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


@dataclass(frozen=True)
class DataConfig:
    """Where text comes from and how it becomes tokens.

    `source`: "shakespeare" (built in), "tfds:NAME", "local" (all text below --data-dir) / "local:PATH", or a pair of
    evaluation/composition.py ("sums" is made; "scan_length" and the like are read below --data-dir).
    `tokenizer`: "sentencepiece" (trained here, to model.vocab_size entries), "bytes", "gpt2", "gpt1:FOLDER",
    "gpt2:FOLDER".
    `packing`: "documents" puts `<|endoftext|>` before each document (GPT-2/3); "contiguous" does not (GPT-1).
    Documents are held out whole, by a hash of their text; below 20 documents, the tail of each is.
    """

    source: str = "shakespeare"
    tokenizer: str = "sentencepiece"
    packing: Literal["documents", "contiguous"] = "documents"
    validation_fraction: float = 0.1

    def __post_init__(self):
        _check_values(self, "data")
        _require(
            0 < self.validation_fraction < 1,
            "data.validation_fraction", self.validation_fraction, "0 < fraction < 1",
        )  # fmt: skip


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam, its schedule and its decay. `weight_decay` is decoupled and spares biases and gains.

    "adamw" is optax's; "openai_adam" is GPT-1's released one (training/optimizer.py says how they differ).
    """

    name: Literal["adamw", "openai_adam"] = "adamw"
    learning_rate: float = 2.5e-4
    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    clip_norm: float | None = 1.0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_tokens: int = 0
    decay_tokens: int | None = None  # where the schedule reaches its floor; none: the end of training
    final_fraction: float = 0.0  # the floor, as a part of learning_rate

    def __post_init__(self):
        _check_values(self, "optimizer")
        for name in ("learning_rate", "epsilon"):
            _require(getattr(self, name) > 0, f"optimizer.{name}", getattr(self, name), "more than 0")
        for name in ("b1", "b2"):
            _require(0 <= getattr(self, name) < 1, f"optimizer.{name}", getattr(self, name), "0 <= value < 1")
        for name in ("weight_decay", "warmup_tokens"):
            _require(getattr(self, name) >= 0, f"optimizer.{name}", getattr(self, name), "at least 0")
        _require(0 <= self.final_fraction <= 1, "optimizer.final_fraction", self.final_fraction, "0 to 1")
        _require(
            self.clip_norm is None or self.clip_norm > 0,
            "optimizer.clip_norm", self.clip_norm, "more than 0, or none",
        )  # fmt: skip
        _require(
            self.decay_tokens is None or self.decay_tokens >= 1,
            "optimizer.decay_tokens", self.decay_tokens, "at least 1, or none",
        )  # fmt: skip


@dataclass(frozen=True)
class TrainingConfig:
    """How long, how much at once, and how often anything else happens: all in tokens.

    `micro_batch` is the sequences of one forward and backward pass over all devices; none: the whole batch.
    A batch ramp grows the batch linearly from `batch_ramp_start` to `batch_tokens` over `batch_ramp_tokens`
    (GPT-3, appendix B).
    """

    seed: int = 0
    train_tokens: int = 10_000_000
    batch_tokens: int = 65_536
    micro_batch: int | None = None
    batch_ramp_tokens: int = 0
    batch_ramp_start: int = 32_768
    log_every_tokens: int = 1  # at most once a step
    evaluate_every_tokens: int = 1_000_000
    evaluation_tokens: int | None = None  # none: the whole validation split
    checkpoint_every_tokens: int = 1_000_000
    keep_last: int = 2
    keep_best: int = 1
    sample_every_tokens: int = 1_000_000
    sample_tokens: int = 100
    sample_prompt: str = "\n"
    tensorboard: bool = False

    def __post_init__(self):
        positive = (
            "train_tokens", "batch_tokens", "log_every_tokens", "evaluate_every_tokens", "checkpoint_every_tokens",
            "sample_every_tokens", "keep_last", "sample_tokens", "batch_ramp_start",
        )  # fmt: skip
        for name in positive:
            _require(getattr(self, name) >= 1, f"training.{name}", getattr(self, name), "at least 1")
        for name in ("seed", "keep_best", "batch_ramp_tokens"):
            _require(getattr(self, name) >= 0, f"training.{name}", getattr(self, name), "at least 0")
        for name in ("micro_batch", "evaluation_tokens"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"training.{name}", value, "at least 1, or none")
        _require(self.seed < 2**32, "training.seed", self.seed, "below 2**32")


@dataclass(frozen=True)
class MeshConfig:
    """How devices divide the work: `data` x `fsdp` x `tensor` of them (parallel/sharding.py says what over which).

    `data` none: as many as are left. The mesh decides where numbers are, not which: a run may go on with another one.
    """

    data: int | None = None
    fsdp: int = 1
    tensor: int = 1

    def __post_init__(self):
        for name in ("data", "fsdp", "tensor"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"mesh.{name}", value, "at least 1")


@dataclass(frozen=True)
class FinetuningConfig:
    """GPT-1's supervised fine-tuning (sections 3.2 and 4.1), which this run is if it has a `task`.

    Defaults are the paper's. Adam is `optimizer`'s, whose own rate and schedule are not used here. Sizes are counted
    in examples: a classification task has one sequence for each, similarity two, multiple choice one per answer.
    """

    task: str | None = None  # a task's name or folder (data/tasks.py); none: this run pre-trains
    # A run folder, or one in Transformers' layout; several, with commas: the first that holds this run's model. None:
    # from scratch.
    weights: str | None = None
    # What is taken from `weights`: the embeddings and the first n blocks; none: everything; -1: nothing, as the
    # released code's n_transfer.
    transfer_layers: int | None = None
    # "all" (the paper), "head": W_y and the special tokens only (the founding note), "top:N": those and N blocks.
    trainable: str = "all"
    examples: int | None = None  # of the training set, drawn by the seed; none: all
    validation_examples: int | None = None  # the same for every seed; none: all
    max_length: int | None = None  # tokens of a sequence, special ones too; none: the longest's, or the context
    epochs: int = 3
    patience: int | None = None  # epochs without a better validation score before it stops; none: it runs to the end
    batch_size: int = 32
    learning_rate: float = 6.25e-5
    # "linear": up over warmup_fraction of the updates, then down to 0. "released": warmup_linear of the released code,
    # whose first update has rate 0.
    schedule: Literal["linear", "released"] = "linear"
    warmup_fraction: float = 0.002
    auxiliary_weight: float = 0.5  # lambda in L3 = L2 + lambda L1
    auxiliary: Literal["mean", "sum"] = "mean"  # over a sequence's tokens: the released code, and the paper's equation
    # Rows that the auxiliary softmax is over: tokens and special tokens, or positions too, as the released code's.
    auxiliary_rows: Literal["tokens", "positions"] = "tokens"
    classifier_dropout: float = 0.1
    regression: Literal["soft_labels", "mse"] = "soft_labels"

    def __post_init__(self):
        _check_values(self, "finetuning")
        for name in ("epochs", "batch_size"):
            _require(getattr(self, name) >= 1, f"finetuning.{name}", getattr(self, name), "at least 1")
        for name in ("examples", "validation_examples", "patience"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"finetuning.{name}", value, "at least 1, or none")
        _require(
            self.max_length is None or self.max_length >= 8, "finetuning.max_length", self.max_length,
            "at least 8, or none",
        )  # fmt: skip
        _require(
            self.transfer_layers is None or self.transfer_layers >= -1,
            "finetuning.transfer_layers", self.transfer_layers, "at least -1 (nothing), or none (everything)",
        )  # fmt: skip
        kind, _, count = self.trainable.partition(":")
        _require(
            self.trainable in ("all", "head") or (kind == "top" and count.isascii() and count.isdigit()),
            "finetuning.trainable", self.trainable, "all, head, or top:N for the top N blocks",
        )  # fmt: skip
        _require(self.learning_rate > 0, "finetuning.learning_rate", self.learning_rate, "more than 0")
        _require(self.auxiliary_weight >= 0, "finetuning.auxiliary_weight", self.auxiliary_weight, "at least 0")
        for name in ("warmup_fraction", "classifier_dropout"):
            _require(0 <= getattr(self, name) < 1, f"finetuning.{name}", getattr(self, name), "0 <= value < 1")


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run: of pre-training, or of fine-tuning where `finetuning` has a task."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    finetuning: FinetuningConfig = field(default_factory=FinetuningConfig)

    def __post_init__(self):
        if self.finetuning.task is not None:
            return self._check_finetuning()
        context, batch = self.model.context_length, self.training.batch_tokens
        _require(
            batch % context == 0,
            "training.batch_tokens", batch, f"a multiple of model.context_length = {context}",
        )  # fmt: skip
        micro = self.training.micro_batch
        _require(
            micro is None or (batch // context) % micro == 0,
            "training.micro_batch", micro, f"a divisor of the {batch // context} sequences of a batch",
        )  # fmt: skip

    def _check_finetuning(self) -> None:
        unused = ("learning_rate", "schedule", "warmup_tokens", "decay_tokens", "final_fraction")
        for name in unused:
            value = getattr(self.optimizer, name)
            _require(
                value == getattr(OptimizerConfig, name), f"optimizer.{name}", value,
                "fine-tuning has its own: finetuning.learning_rate, .schedule and .warmup_fraction",
            )  # fmt: skip
        length, context = self.finetuning.max_length, self.model.context_length
        _require(
            length is None or length <= context,
            "finetuning.max_length", length, f"at most model.context_length = {context}",
        )  # fmt: skip
        for name in ("data", "fsdp", "tensor"):
            parts = getattr(self.mesh, name)
            _require(parts in (None, 1), f"mesh.{name}", parts, "1, or none: fine-tuning runs on one device")
        layers, count = self.finetuning.transfer_layers, self.model.n_layer
        _require(
            layers is None or layers <= count,
            "finetuning.transfer_layers", layers, f"at most model.n_layer = {count}",
        )  # fmt: skip
        top = self.finetuning.trainable.partition(":")[2]
        _require(
            not top or int(top) <= count, "finetuning.trainable", self.finetuning.trainable,
            f"at most top:{count}, the blocks there are",
        )  # fmt: skip


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values, ready for JSON; patterns become the text that `parse_patterns` reads."""
    out = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            out[f.name] = to_dict(value)
        elif f.name == "attention":
            out[f.name] = ", ".join(map(repr, value))
        else:
            out[f.name] = value
    return out


def from_dict(values: Mapping[str, Any]) -> RunConfig:
    """The inverse of `to_dict`. Raises `InputError` on keys that do not exist."""
    return override(RunConfig(), flatten(values))


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"n_layer": 2}} -> {"model.n_layer": 2}."""
    out = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out.update(flatten(value, f"{prefix}{key}."))
        else:
            out[f"{prefix}{key}"] = value
    return out


def digest(config: Any) -> str:
    """Sixteen hexadecimal digits that name this config: equal values, equal digest.

    Only what differs from the defaults counts, so that a field added later leaves older digests as they are.
    """
    changed = {key: value for key, (_, value) in differences(type(config)(), config).items()}
    text = json.dumps(changed, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(ours: Any, theirs: Any) -> dict[str, tuple[Any, Any]]:
    """Dotted keys whose values differ, with both values; but for the mesh, which decides no number."""
    a, b = flatten(to_dict(ours)), flatten(to_dict(theirs))
    keys = sorted(key for key in {*a, *b} if not key.startswith("mesh."))
    return {key: (a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)}


def override(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """`config` with `changes` by dotted key, for example `{"model.n_layer": 6, "optimizer.b2": "0.95"}`.

    Text is read as the field's type ("1e6" and "1_000_000" are whole numbers); all changes apply at once,
    so that fields which must agree can change together. Raises `InputError` on an unknown key or a value
    of another type.
    """
    sections = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    keys = [f"{name}.{f.name}" for name, section in sections.items() for f in dataclasses.fields(section)]
    changed: dict[str, dict[str, Any]] = {name: {} for name in sections}
    for key, value in changes.items():
        section, _, name = key.partition(".")
        if key not in keys:
            raise unknown("key", key, [k for k in keys if k.startswith(f"{section}.")] or keys)
        kind = typing.get_type_hints(type(sections[section]))[name]
        changed[section][name] = _read(key, value, kind)
    return dataclasses.replace(
        config, **{name: dataclasses.replace(sections[name], **values) for name, values in changed.items() if values}
    )


def _read(key: str, value: Any, kind: Any) -> Any:
    """`value` as the annotated type `kind`, or an InputError that names `key`."""
    if kind == tuple[Pattern, ...]:
        return parse_patterns(value) if isinstance(value, str) else value
    if typing.get_origin(kind) is Literal:
        return str(value)
    choices = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if types.NoneType in choices and (value is None or str(value).lower() == "none"):
        return None
    kind = next(c for c in choices if c is not types.NoneType)
    reader = {int: _whole, float: _number, bool: _truth, str: _text}[kind]
    result = reader(value)
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    _require(result is not None, key, value, names[kind] + (", or none" if len(choices) > 1 else ""))
    return result


def _whole(value: Any) -> int | None:
    number = _number(value)
    if number is None or number != number or abs(number) == float("inf") or number != int(number):
        return None
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdigit()) else int(number)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _truth(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
