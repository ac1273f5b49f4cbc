"""Fine-tuning from end to end: labelled examples and a pre-trained language model become a `Classifier`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from gpt_jax.config import RunConfig
from gpt_jax.data.tokenizers import Tokenizer, require_rows
from gpt_jax.errors import InputError
from gpt_jax.finetuning import parameters
from gpt_jax.finetuning.classifier import Classifier, make_objective
from gpt_jax.finetuning.objective import Objective
from gpt_jax.finetuning.transformations import EncodedExamples, batch_rows, longest, subset, tokenize
from gpt_jax.finetuning.update import finetuning_step, learning_rates
from gpt_jax.model.layers_layout import unstack_layers
from gpt_jax.numerics import pinned
from gpt_jax.training.loop import DelayedMetrics
from gpt_jax.training.state import fresh_state

if TYPE_CHECKING:
    from gpt_jax.data.tasks import Example, LabelledTask

# (objective, frozen) -> a run's update, `(state, tokens_BKT, labels_B, rate, lambda, seed) -> (state, metrics)`
Stepper = Callable[[Objective, parameters.Params], Callable[..., tuple[Any, dict[str, Any]]]]
MULTIPLE = 8  # the length that sequences are padded to is a multiple of it
Metrics = dict[str, float]
Splits = Mapping[str, Sequence["Example"]]


def alone(objective: Objective, frozen: parameters.Params) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """The update of a run that has its program for itself, or shares it with the runs after it."""
    return lambda state, *given: finetuning_step(objective, state, frozen, *given)


@pinned()
def fit(
    config: RunConfig,
    task: LabelledTask,
    splits: Splits,
    tokenizer: Tokenizer,
    pretrained: parameters.Params | None = None,
    on_update: Callable[[int, Metrics], None] = lambda update, metrics: None,
    on_epoch: Callable[[int, Metrics], None] = lambda epoch, metrics: None,
    stepper: Stepper = alone,
) -> Classifier:
    """Fine-tunes as `config.finetuning` says, and returns the model of the best epoch.

    After each epoch, the task's metric is measured on the validation split. The highest metric wins, and of equals the
    lowest validation loss. All epochs run, so that the schedule ends where it should. With `patience`, fewer may run.
    Without labelled validation examples, the model of the last epoch is returned.

    Args:
      config: its model is the language model's, without the special tokens; training.seed decides what is new, the
        dropout, the order, and which examples are drawn.
      splits: "train", and where there are any "validation" and "test"; the test split decides no more than the length
        of the arrays.
      pretrained: the language model's parameters, in the layout that config says; none: from scratch.
      on_update: gets the updates done so far and their metrics ("loss", "supervised_loss", "auxiliary_loss" where
        lambda is not 0: nats; "gradient_norm"; "rate"; "tokens", those of the update).
      on_epoch: gets the updates done so far and "loss" (nats) and the task's metric, of validation.
      stepper: makes the update, which may be made with those of other runs.

    Raises:
      InputError: no labelled training examples, or a tokenizer of more entries than the model.
      TrainingDiverged: the loss is not finite.
    """
    require_rows(tokenizer, config.model.vocab_size, "tokenizer")
    settings, seed = config.finetuning, config.training.seed
    pretrained = None if pretrained is None else unstack_layers(config.model, pretrained)
    model = dataclasses.replace(config.model, scan_layers=False)
    config = dataclasses.replace(config, model=model)
    splits = drawn(config, splits)
    train = splits["train"]
    if not train or any(example.label is None for example in train):
        raise InputError(f"task {task.name}: its training split has {len(train)} examples: some, all labelled, needed")
    objective = make_objective(config, task)
    params = jax.jit(parameters.init, static_argnums=(0, 1, 4))(
        model, objective.outputs, seed, pretrained, settings.transfer_layers
    )
    trained, frozen = parameters.split(model, params, settings.trainable)
    length = settings.max_length or fitting_length(config, task, splits, tokenizer)
    classifier = Classifier(task, objective, tokenizer, length, trained, frozen)
    answers = max(len(e.texts) - 2 for split in splits.values() for e in split) if _chooses(task) else None
    judges = [example for example in splits["validation"] if example.label is not None]
    data, validation = (classifier.encode(part, answers) for part in (train, judges))

    batch = min(settings.batch_size, len(train))
    per_epoch = len(train) // batch
    rates = learning_rates(settings, settings.epochs * per_epoch)
    delayed = DelayedMetrics(on_update, unit="update")
    state = jax.tree.map(jnp.copy, fresh_state(config.optimizer, trained))
    step = stepper(objective, frozen)
    best, best_rank, worse = None, (-math.inf, -math.inf), 0
    for epoch in range(settings.epochs):
        for update in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            chosen = data[batch_rows(len(train), batch, seed, update)]
            state, metrics = step(
                state,
                chosen.tokens_NKT,
                chosen.labels_N,
                np.float32(rates[update]),
                np.float32(settings.auxiliary_weight),
                np.uint32(seed),
            )
            if not settings.auxiliary_weight:
                del metrics["auxiliary_loss"]
            tokens = (chosen.tokens_NKT >= 0).sum()
            delayed.dispatched(update + 1, {**metrics, "rate": rates[update], "tokens": tokens})
        delayed.read()
        if not len(validation):
            continue
        measured = validate(dataclasses.replace(classifier, trained=state.params), validation)
        on_epoch((epoch + 1) * per_epoch, measured)
        score, loss = measured[task.metric], measured["loss"]
        rank = (score if math.isfinite(score) else -math.inf, -loss)
        if best is None or rank > best_rank:
            best, best_rank, worse = jax.tree.map(jnp.copy, state.params), rank, 0
        else:
            worse += 1
        if settings.patience is not None and worse >= settings.patience:
            break
    return dataclasses.replace(classifier, trained=state.params if best is None else best)


def drawn(config: RunConfig, splits: Splits) -> dict[str, list[Example]]:
    """`splits` with the examples that this run trains on, which its seed draws, and with those that validate."""
    settings, out = config.finetuning, {name: list(split) for name, split in splits.items()}
    for name, size, seed in (
        ("train", settings.examples, config.training.seed),
        ("validation", settings.validation_examples, 0),
    ):
        examples = out.get(name, [])
        out[name] = [examples[row] for row in subset(len(examples), size, seed)]
    return out


def validate(classifier: Classifier, encoded: EncodedExamples) -> Metrics:
    """The "loss" (nats) and the task's metric, over the encoded examples that have a label; NaN without any."""
    return validated(classifier, encoded)[0]


def validated(classifier: Classifier, encoded: EncodedExamples) -> tuple[Metrics, np.ndarray]:
    """What `validate` gives, and the predictions that it is of, as `Classifier.predict`'s."""
    from gpt_jax.finetuning.label_metrics import score

    task = classifier.task
    found, loss = classifier.evaluate(encoded)
    labelled_N = np.isfinite(encoded.labels_N) if task.regression else encoded.labels_N >= 0
    if not labelled_N.any():
        return {"loss": math.nan, task.metric: math.nan}, found
    value = score(task.metric, labels_of(found)[labelled_N], encoded.labels_N[labelled_N])
    return {"loss": loss, task.metric: float(value)}, found


def labels_of(found: np.ndarray) -> np.ndarray:
    """Predictions as labels: the likeliest of `(N, K)` probabilities, values `(N,)` as they are."""
    return found.argmax(axis=1) if found.ndim == 2 else found


def fitting_length(config: RunConfig, task: LabelledTask, splits: Splits, tokenizer: Tokenizer) -> int:
    """The longest sequence of any split, rounded up to a multiple of 8, or the context if that is less.

    As in the released code, which cuts n_ctx to the longest example.
    """
    most = max(longest(task.shape, tokenize(split, tokenizer)) for split in splits.values())
    return min(-(-most // MULTIPLE) * MULTIPLE, config.model.context_length)


def _chooses(task: LabelledTask) -> bool:
    return task.shape == "multiple_choice"
