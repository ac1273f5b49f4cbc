"""The logarithm of the loss: where a loss is a power of what was spent, differences of it are the exponent."""

from __future__ import annotations

import math

from experiments.experiment import FinishedRun

BATCH = 32  # windows


def log_loss(run: FinishedRun) -> dict[str, float | list[float]]:
    """ "scaling/log_loss": ln of the run's loss (nats/token) on the whole validation split, and what was spent on it:
    "scaling/log_flops", "scaling/log_tokens" and "scaling/log_parameters" (those that multiply every token, apart from
    the head: Kaplan et al.'s N)."""
    from gpt_jax.data.pipeline import validation_batches
    from gpt_jax.evaluation.perplexity import mean_loss
    from gpt_jax.model.costs import matmul_parameters, train_flops_per_token
    from gpt_jax.training.plan import make_plan

    model, tokens = run.config.model, int(make_plan(run.config).tokens[-1])
    nats, _ = mean_loss(model, run.params, validation_batches(run.corpus, batch_size=BATCH, max_tokens=None))
    return {
        "scaling/log_loss": math.log(nats),
        "scaling/log_flops": math.log(train_flops_per_token(model) * tokens),
        "scaling/log_tokens": math.log(tokens),
        "scaling/log_parameters": math.log(matmul_parameters(model) - model.d_model * model.vocab_size),
    }
