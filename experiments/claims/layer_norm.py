"""Pre-LN trains at learning rates, and without warm-up, where post-LN fails.

GPT-2 moved the layer norm to the input of each sub-block (pre-LN). In GPT-1 the layer norm follows the residual sum
(post-LN). Xiong et al. explain the difference: at initialisation, the gradient of the last layer's feed-forward matrix
falls with the depth L as 1/sqrt(L) in pre-LN, and does not fall in post-LN. Post-LN therefore needs a warm-up. With a
good warm-up, both end alike.

Stated before any run, for pre-LN less post-LN:
(1) The failure rate over the whole grid of learning rates and warm-ups is lower, by at least 0.1.
(2) Without warm-up, each at its best learning rate, the loss is lower, by at least 0.02 nats/token.
(3) Each at its best learning rate and warm-up, the losses are equal within 0.05.
(4) The gradient at initialisation falls faster with depth: the slope of log norm over log L is lower, by at least 0.25.

Measured: the validation loss after the same tokens in the same order, at three learning rates and with a warm-up of
0, 5 and 20 % of the training. A cell of the grid is compared with the same cell, and the best of one sweep with the
best of the other. A run fails if its loss stops being finite. A run also fails if its loss ends within 0.02 nats of
the unigram entropy of the validation text, where post-LN stays at high rates without ever diverging. Both arms are
initialised after Glorot, as in Xiong et al.: at small widths, GPT's N(0, 0.02) is far smaller and hides the effect.
(4) needs no training. It compares how the norm scales with L, since the norm's level depends on the initialisation.
`again` is one pre-LN cell at other seeds: the noise floor.

A pilot of one seed chose the rates before the runs that count, so that both arms train in a part of the grid. In the
cells of the pilot, pre-LN was ahead by about half a nat, which speaks against (3) at this scale. (3) was left as the
paper has it. (1) is a statement on this grid: in six of its nine cells, post-LN fails at every seed.

`laptop` scale has 6 layers where `cpu` has 12, and other seeds. Stated before any run of it, with the figures of 12
layers known: the same four, with the same margins. Its arms `L12-...` have 12 layers again. In the two cells without
warm-up at 3e-4 and 1e-3, the gradient of each layer's second feed-forward matrix is measured at the start and after 100
updates. Stated before too, without a margin: it rises less from the first layer to the last in pre-LN, at the start and
later. One run of two of these arms (seed 99: post-LN at 3e-4, and 12 layers of pre-LN at 1e-3) was seen before.
"""

from collections.abc import Sequence
from typing import Any

from experiments.bases import OTHER_SEEDS, on_plays
from experiments.experiment import FAILED, Comparison, Experiment, FinishedRun, Scale
from experiments.sweep import axis, chain, product, section

RATES = {"lr3e-4": 3e-4, "lr1e-3": 1e-3, "lr3e-3": 3e-3}
WARMUPS = {
    "warmup0": 0,
    "warmup5": lambda base: base.training.train_tokens // 20,
    "warmup20": lambda base: base.training.train_tokens // 5,
}
CELLS = product(axis("optimizer.learning_rate", RATES), axis("optimizer.warmup_tokens", WARMUPS))
NORMS = axis("model.norm", {"pre": "pre", "post": "post"})
PRE, POST = (tuple(f"{norm}-{cell}" for cell in CELLS) for norm in NORMS)
COLD = tuple(cell for cell in CELLS if cell.endswith("warmup0"))
PROBE = "lr1e-3-warmup0"  # where the gradients at initialisation are measured: once per norm and seed
AGAIN = {"again": OTHER_SEEDS}
GRID = chain(
    product(NORMS, CELLS),
    product(AGAIN, axis("model.norm", {"pre": "pre"}), {"lr1e-3-warmup5": CELLS["lr1e-3-warmup5"]}),
)
WATCHED = ("lr3e-4-warmup0", PROBE)  # where each layer's gradient is measured, and after how many updates
UPDATES = 100
DEEP = product(axis("model.n_layer", {"L12": 12}), NORMS, {cell: CELLS[cell] for cell in WATCHED})
LOSS, SLOPE = "validation/loss", "initial_gradient/slope"
LAYERS, LATER = "layer_gradient/start", f"layer_gradient/step_{UPDATES}"


def measure(run: FinishedRun) -> dict[str, float | list[float]]:
    """In the probe's cell, the gradient norms at initialisation by depth and their slope. In the cells that are
    watched, each layer's gradient, where the run kept a checkpoint for it. Else nothing."""
    from experiments.measurements import layer_gradients
    from experiments.measurements.initial_gradient import gradient_norms, log_slope
    from gpt_jax.loading import checkpoint_steps

    found: dict[str, float | list[float]] = {}
    if run.identity.arm in (f"pre-{PROBE}", f"post-{PROBE}"):
        norms = gradient_norms(run.config, run.corpus)
        by_depth = {f"initial_gradient/depth_{depth}": norm for depth, norm in norms.items()}
        found |= {**by_depth, SLOPE: log_slope(norms), "initial_gradient/by_depth": list(norms.values())}
    if run.identity.arm.endswith(WATCHED) and run.folder and UPDATES in checkpoint_steps(run.folder):
        found |= layer_gradients.measure(run, UPDATES)
    return found


def over_layers(depth: str, metric: str, cell: str) -> Comparison:
    """How the gradient rises from the first layer to the last, in runs that fail too: they have failed at their end."""
    title = f"gradient over the layers, {depth}{cell}, {metric.rpartition('/')[2]}"
    pre, post = f"{depth}pre-{cell}", f"{depth}post-{cell}"
    return Comparison(pre, post, "lower", f"{metric}_slope", name=title, primary=False, with_failed=True)


def layers(results: Sequence[Any]) -> list[str]:
    """Each layer's gradient over the last one's, in words."""
    from experiments.findings.layer_gradients import findings

    return findings(results, {"at the start": LAYERS, f"after {UPDATES} updates": LATER})


SMOKE = {
    **section("model", vocab_size=512, n_layer=2, n_head=2, d_model=32, context_length=32),
    **section(
        "training",
        batch_tokens=256,
        train_tokens=10 * 256,
        evaluation_tokens=4096,
        evaluate_every_tokens=10 * 256,
        sample_tokens=16,
    ),
}

CPU = {
    **section("data", tokenizer="bytes", validation_fraction=0.02),
    **section("model", vocab_size=257, n_layer=12, n_head=4, d_model=64, context_length=64),
    **section(
        "training",
        batch_tokens=512,
        train_tokens=480 * 512,
        evaluation_tokens=16_384,
        evaluate_every_tokens=60 * 512,
        checkpoint_every_tokens=480 * 512,
        sample_every_tokens=480 * 512,
        sample_tokens=32,
    ),
}

LAPTOP = {
    **CPU,
    "model.n_layer": 6,
    **section("training", checkpoint_every_tokens=UPDATES * 512, keep_last=5),  # all of them
}

EXPERIMENT = Experiment(
    source="Radford et al. 2019, section 2.3; Xiong et al. 2020 (arXiv 2002.04745), section 3.3 and Table 1",
    paper=(
        "The gradient at initialisation falls with depth L as 1/sqrt(L) in pre-LN and does not fall in "
        "post-LN; post-LN needs a warm-up and pre-LN does not; with a good warm-up, both end alike (Xiong et al.). "
        "GPT-2 gives no ablation."
    ),
    base=on_plays({"model.initialization": "xavier"}),
    arms=chain(GRID, DEEP),
    scales={
        "smoke": Scale(SMOKE, arms=(f"pre-{PROBE}", f"post-{PROBE}")),
        "laptop": Scale(LAPTOP, seeds=tuple(range(5, 10))),
        "cpu": Scale(CPU, seeds=tuple(range(5)), arms=tuple(GRID)),
        # 124M parameters, 0.5 billion tokens a run. Not run by us.
        "paper": Scale(
            {
                **section("data", source="tfds:c4/webtextlike", tokenizer="gpt2", validation_fraction=0.005),
                "model.compute_dtype": "bfloat16",
                "training.train_tokens": 1000 * 524_288,
            },
            seeds=tuple(range(5)),
            arms=tuple(GRID),
        ),
    },
    comparisons=(
        Comparison(PRE, POST, "lower", FAILED, 0.1, name="failure rate, whole grid"),
        Comparison(
            tuple(f"pre-{c}" for c in COLD),
            tuple(f"post-{c}" for c in COLD),
            "lower",
            LOSS,
            0.02,
            name="no warm-up, best rate of each",
        ),
        Comparison(
            PRE, POST, "equal", LOSS, 0.05, name="best cell of each", sensitivity="no warm-up, best rate of each"
        ),
        Comparison(
            f"pre-{PROBE}",
            f"post-{PROBE}",
            "lower",
            SLOPE,
            0.25,
            name="gradient at init, slope with depth",
            with_failed=True,
        ),
        *(Comparison(f"pre-{c}", f"post-{c}", "lower", LOSS, name=f"pre - post at {c}", primary=False) for c in CELLS),
        *(over_layers(depth, LAYERS, WATCHED[0]) for depth in ("", "L12-")),  # the start knows no rate
        *(over_layers(depth, LATER, cell) for depth in ("", "L12-") for cell in WATCHED),
    ),
    metrics=(LOSS, "validation/bits_per_byte", SLOPE),
    profiles={
        "initial_gradient/by_depth": "depth (2, 6, 12, 24 layers)",
        LAYERS: "layer, at the start",
        LATER: f"layer, after {UPDATES} updates",
    },
    findings=layers,
    noise_floor=("again-pre-lr1e-3-warmup5", "pre-lr1e-3-warmup5"),
    divergence_is_outcome=True,
    plateau=0.02,
    evaluate=measure,
)
