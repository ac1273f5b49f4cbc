"""Loss falls as a power of what is spent: parameters, tokens and compute, over three decades.

Kaplan et al. (2020) fit L ~ N^-0.076 where tokens and compute do not limit (N: parameters without embeddings), L ~
D^-0.095 where the size does not, and L ~ C^-0.050 along the best sizes. GPT-3 (Figure 3.1) continues the last:
L = 2.57 C^-0.048 (C in petaflop/s-days, nats/token). GPT-3's sizes are chosen so.

Stated before the runs that count, in ln L (a difference of -0.1 is a loss lower by a factor of 0.905):
(1) With about 60 times the compute, the best size is lower than the best size with the smaller one, by at least 0.2:
GPT-3's exponent gives 0.048 ln 60.
(2) 18 times the parameters (2 layers of 32 to 4 of 96) at the most tokens are lower, by at least 0.05. Kaplan's
exponent gives 0.22 where nothing else limits; here tokens do.
(3) 16 times the tokens at the largest size are lower, by at least 0.1. Kaplan's exponent gives 0.26.
(4) A best size lies within: at one budget of compute, the largest model, which sees the fewest tokens, is higher than
the best of the smaller ones, by at least 0.02.

Measured: ln of the validation loss (bytes of the built-in plays; no byte is read twice) of four sizes and three budgets
of tokens, each trained for itself to the end of its schedule. A size has about four times the operations per token of
the one before (4.5, 3.3 and 4.0 times), and a budget has four times the tokens of the one before. Cells on a diagonal
therefore take about the same compute, within 20 %, and the sweep goes from 2.5e9 to 2.4e12 FLOP. Each comparison of
compute takes the best cell of two diagonals. Sizes differ in depth, width and the deviation of their start (0.02
sqrt(768 / width)), and have one rate. `python -m experiments.findings.power_laws results/scaling/laptop.jsonl` fits
the exponents, with intervals over seeds, and says which size the fit takes for a budget.

No pilot saw a loss of these cells: (1) to (4) were stated from the papers.

These are models of 10^3.5 to 10^5.6 parameters on bytes, for 10^4.7 to 10^5.9 of them. Kaplan's smallest have 10^3 and
were trained on 10^10 tokens of 50,257 entries. A loss of bytes starts lower and falls further before it reaches the
text's entropy, so that the exponents need not agree; the direction and the size of the effect can.
"""

from collections.abc import Sequence
from typing import Any

from experiments.bases import OTHER_SEEDS, on_plays
from experiments.experiment import Comparison, Experiment, FinishedRun, Scale
from experiments.sweep import chain, product, section

BATCH = 512
LOSS = "scaling/log_loss"
SIZES = {
    "d16": section("model", n_layer=1, d_model=16, n_head=1, initialization_std=0.14),
    "d32": section("model", n_layer=2, d_model=32, n_head=2, initialization_std=0.1),
    "d64": section("model", n_layer=2, d_model=64, n_head=4, initialization_std=0.07),
    "d96": section("model", n_layer=4, d_model=96, n_head=4, initialization_std=0.057),
}
TIMES = {"1x": 1, "4x": 4, "16x": 16}  # as many tokens as the base has


def times(factor: int):
    """So many times the base's tokens, with the same part of them for the warm-up."""
    return {
        "training.train_tokens": lambda base: factor * base.training.train_tokens,
        "optimizer.warmup_tokens": lambda base: factor * base.optimizer.warmup_tokens,
    }


CELLS = product(SIZES, {name: times(factor) for name, factor in TIMES.items()})
AGAIN = "d64-4x"


def diagonal(number: int) -> tuple[str, ...]:
    """The cells of about one compute, 4 to the power of `number` times the smallest; the smallest model first."""
    sizes, budgets = list(SIZES), list(TIMES)
    return tuple(f"{size}-{budgets[number - n]}" for n, size in enumerate(sizes) if 0 <= number - n < len(budgets))


def measure(run: FinishedRun) -> dict[str, float | list[float]]:
    """ln of the loss, and of what was spent."""
    from experiments.measurements.log_loss import log_loss

    return log_loss(run)


def fitted(results: Sequence[Any]) -> list[str]:
    """The exponents, beside the published ones, and the sizes that the fitted surface says are best."""
    from experiments.findings.power_laws import findings

    return findings(results)


def settings(steps: int, batch: int, context: int):
    """Of the smallest budget of tokens, in steps; what is measured on the way is measured at its end alone."""
    most = 16 * steps * batch
    return {
        **section("model", vocab_size=257, context_length=context),
        **section("optimizer", learning_rate=4e-3, warmup_tokens=steps // 10 * batch, final_fraction=0.0),
        **section(
            "training",
            batch_tokens=batch,
            train_tokens=steps * batch,
            evaluation_tokens=16_384,
            evaluate_every_tokens=most,
            checkpoint_every_tokens=most,
            sample_every_tokens=most,
            sample_tokens=32,
        ),
    }


EXPERIMENT = Experiment(
    source="Brown et al. 2020, section 2.1 and Figure 3.1; Kaplan et al. 2020, sections 1.2 and 3",
    paper=(
        "L ~ N^-0.076, L ~ D^-0.095 and L ~ C^-0.050 (Kaplan et al.); L = 2.57 C^-0.048, C in petaflop/s-days "
        "(GPT-3, Figure 3.1)."
    ),
    base=on_plays(section("data", tokenizer="bytes", validation_fraction=0.02)),
    arms=chain(CELLS, product({"again": OTHER_SEEDS}, {AGAIN: CELLS[AGAIN]})),
    scales={
        "smoke": Scale(settings(2, 256, 32), arms=("d16-1x", "d32-1x")),
        "laptop": Scale(settings(100, BATCH, 64), seeds=tuple(range(3))),
        # Four times the tokens of `laptop`, once through the plays. Not run by us.
        "cpu": Scale(settings(200, 1024, 128), seeds=tuple(range(5))),
        # Sizes a hundred times as large would need the grid of Kaplan et al.; this is ours on their kind of text.
        "paper": Scale(
            {
                **section("data", source="tfds:c4/webtextlike", tokenizer="gpt2", validation_fraction=0.005),
                **settings(1000, 65_536, 1024),
                "model.vocab_size": 50_257,
            },
            seeds=tuple(range(3)),
        ),
    },
    comparisons=(
        Comparison(diagonal(4), diagonal(1), "lower", LOSS, 0.2, name="60 times the compute, best size of each"),
        Comparison("d96-16x", "d32-16x", "lower", LOSS, 0.05, name="18 times the parameters"),
        Comparison("d96-16x", "d96-1x", "lower", LOSS, 0.1, name="16 times the tokens, largest size"),
        Comparison(
            "d96-1x", ("d32-16x", "d64-4x"), "higher", LOSS, 0.02, name="one compute: largest less best of smaller"
        ),
        Comparison(diagonal(5), diagonal(3), "lower", LOSS, name="16 times the compute, upper end", primary=False),
        Comparison(diagonal(2), diagonal(0), "lower", LOSS, name="16 times the compute, lower end", primary=False),
        *(
            Comparison(f"{large}-{budget}", f"{small}-{budget}", "lower", LOSS, primary=False)
            for budget in TIMES
            for small, large in (("d16", "d32"), ("d32", "d64"), ("d64", "d96"))
        ),
    ),
    metrics=(LOSS, "validation/loss", "validation/bits_per_byte"),
    noise_floor=(f"again-{AGAIN}", AGAIN),
    divergence_is_outcome=True,
    evaluate=measure,
    findings=fitted,
)
