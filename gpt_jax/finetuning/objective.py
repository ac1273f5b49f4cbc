"""What fine-tuning minimises: L3(C) = L2(C) + lambda L1(C) (GPT-1, equations 3 to 5), as the released code computes it.

Axes: B examples, K sequences of an example, S = B K sequences, T time, M model width, C outputs of the head,
V vocabulary with the special tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.config import FinetuningConfig, ModelConfig, OptimizerConfig
from gpt_jax.errors import InputError
from gpt_jax.finetuning.parameters import Params, extended
from gpt_jax.model.interface import hidden
from gpt_jax.model.linear import matmul_dtype
from gpt_jax.training.objectives import cross_entropy, loss_chunk, token_losses

MOST_CLASSES = 1000


@dataclass(frozen=True)
class Objective:
    """All that the compiled programs depend on; rates and lambda are arguments, so that arms and seeds share them.

    `model` has the special tokens. `regression` holds the least and the greatest label, where labels are real.
    """

    model: ModelConfig
    optimizer: OptimizerConfig
    shape: str
    outputs: int
    regression: tuple[float, float] | None
    regression_loss: str
    auxiliary: str
    auxiliary_rows: str
    classifier_dropout: float

    @classmethod
    def of(
        cls,
        model: ModelConfig,
        optimizer: OptimizerConfig,
        config: FinetuningConfig,
        shape: str,
        labels: int,
        regression: tuple[float, float] | None,
    ) -> Objective:
        """`model` is the language model, without the special tokens; `labels` is how many a classification has."""
        outputs = labels
        if shape == "multiple_choice" or (regression and config.regression == "mse"):
            outputs = 1
        elif regression:
            outputs = len(grid(regression))
        return cls(
            extended(model),
            optimizer,
            shape,
            outputs,
            regression,
            config.regression,
            config.auxiliary,
            config.auxiliary_rows,
            config.classifier_dropout,
        )


def grid(regression: tuple[float, float]) -> np.ndarray:
    """The values of the soft labels' classes, about 1 apart: 0, 1, ..., 5 for STS-B. Float32 `(C,)`.

    Raises `InputError` on a range of more than `MOST_CLASSES`.
    """
    low, high = regression
    if high - low > MOST_CLASSES:
        raise InputError(
            f"finetuning.regression: 'soft_labels' is not allowed for scores from {low:g} to {high:g}, a class for "
            f"each unit: mse, or a range of at most {MOST_CLASSES:,}"
        )
    return np.linspace(low, high, max(2, round(high - low) + 1)).astype(np.float32)


def soft_labels(labels_B: jax.Array, values_C: np.ndarray) -> jax.Array:
    """Each label as probabilities of the two classes beside it, whose mean it is (Tai et al. 2015, section 5.2)."""
    place_B1 = ((labels_B - values_C[0]) / (values_C[1] - values_C[0]))[:, None]
    return jnp.maximum(0, 1 - jnp.abs(place_B1 - jnp.arange(len(values_C))))


def forward(
    o: Objective, params: Params, tokens_BKT: jax.Array, dropout_key: jax.Array | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The head's scores, float32, the last activations `(S, T, M)` and the output matrix.

    The head reads the activation at the extract token, each sequence's last, after classifier dropout with one mask
    for all sequences of an example. Multiple choice: one linear map to a scalar for each answer, `(B, K)`, -inf where
    there is no answer. Otherwise `(B, C)`; for similarity the activations of both orders are added before the map.
    `params` are `parameters.joined`; dropout is on when a key is given.
    """
    b, k, t = tokens_BKT.shape
    tokens_ST = tokens_BKT.reshape(b * k, t)
    model_key, head_key = (None, None) if dropout_key is None else jax.random.split(dropout_key)
    h_STM, head_VM, _ = hidden(o.model, params["model"], tokens_ST, dropout_key=model_key)
    last_S = jnp.maximum((tokens_ST >= 0).sum(axis=1) - 1, 0)
    extract_BKM = h_STM[jnp.arange(b * k), last_S].reshape(b, k, -1).astype(jnp.float32)
    if head_key is not None and o.classifier_dropout > 0:
        rate = o.classifier_dropout
        keep_B1M = jax.random.bernoulli(head_key, 1 - rate, (b, 1, extract_BKM.shape[-1]))
        extract_BKM = jnp.where(keep_B1M, extract_BKM / (1 - rate), 0)
    kernel_MC, bias_C = (params["classifier"][name].astype(jnp.float32) for name in ("kernel", "bias"))
    if o.shape == "multiple_choice":
        scores_BK = (extract_BKM @ kernel_MC + bias_C)[..., 0]
        return jnp.where((tokens_BKT >= 0).any(axis=-1), scores_BK, -jnp.inf), h_STM, head_VM
    return extract_BKM.sum(axis=1) @ kernel_MC + bias_C, h_STM, head_VM


def supervised_losses(o: Objective, scores_BC: jax.Array, labels_B: jax.Array) -> jax.Array:
    """-L2 of each example, nats, float32 `(B,)`.

    Real labels: the cross-entropy with soft labels over a grid of classes, or the squared error of the label moved
    to 0..1 ("mse").
    """
    if o.regression is None:
        return token_losses(scores_BC, labels_B)  # type: ignore[return-value]
    low, high = o.regression
    if o.regression_loss == "mse":
        return (scores_BC[:, 0] - (labels_B - low) / (high - low)) ** 2
    return -(soft_labels(labels_B, grid(o.regression)) * jax.nn.log_softmax(scores_BC)).sum(axis=-1)


def auxiliary_loss(
    o: Objective, params: Params, tokens_BKT: jax.Array, h_STM: jax.Array, head_VM: jax.Array
) -> jax.Array:
    """-L1 on the task's own text, a float32 scalar: the mean over all sequences there are, wrong answers and both
    orders included.

    Of a sequence, "mean" (the released code): nats per token; "sum" (the paper's equation): nats. The delimiter and the
    extract token are targets, the start token is not. The softmax is over tokens and special tokens; with
    auxiliary_rows "positions" over the rows of positions too, which the released code's one matrix holds as well.
    """
    tokens_ST = tokens_BKT.reshape(-1, tokens_BKT.shape[-1])
    targets_ST = jnp.pad(tokens_ST[:, 1:], ((0, 0), (0, 1)), constant_values=-1)
    weights_ST = (targets_ST >= 0).astype(jnp.float32)
    count_S1 = weights_ST.sum(axis=1, keepdims=True)
    if o.auxiliary == "mean":
        weights_ST /= jnp.maximum(count_S1, 1)
    weights_ST /= jnp.maximum((count_S1 > 0).sum(), 1)
    if o.auxiliary_rows == "positions" and "wpe" in params["model"]:
        head_VM = jnp.concatenate([head_VM, params["model"]["wpe"]])
    chunk = loss_chunk(o.model, *targets_ST.shape)
    return cross_entropy(h_STM, head_VM, targets_ST, weights_ST, matmul_dtype(o.model), chunk, o.model.turned_gradients)


def losses(
    o: Objective,
    params: Params,
    tokens_BKT: jax.Array,
    labels_B: jax.Array,
    auxiliary_weight: jax.Array | float,
    dropout_key: jax.Array | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """-L3 = -L2 - lambda L1, a mean over the batch; and its two parts. With lambda 0 the second is 0, not computed."""
    scores_BC, h_STM, head_VM = forward(o, params, tokens_BKT, dropout_key)
    supervised = supervised_losses(o, scores_BC, labels_B).mean()
    auxiliary = jax.lax.cond(
        jnp.asarray(auxiliary_weight) > 0, lambda: auxiliary_loss(o, params, tokens_BKT, h_STM, head_VM), lambda: 0.0
    )
    total = supervised + auxiliary_weight * auxiliary
    return total, {"supervised_loss": supervised, "auxiliary_loss": auxiliary}


def predictions(o: Objective, scores_BC: jax.Array) -> jax.Array:
    """Probabilities `(B, C)` over labels or answers; or the label's expected value `(B,)`, in its own units."""
    if o.regression is None:
        return jax.nn.softmax(scores_BC)
    low, high = o.regression
    if o.regression_loss == "mse":
        return low + (high - low) * scores_BC[:, 0]
    return jax.nn.softmax(scores_BC) @ grid(o.regression)
