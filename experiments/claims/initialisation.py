"""A factor of 1/sqrt(N) keeps what N layers add small at any depth; deep models train better for it.

GPT-2 (section 2.3) scales "the weights of residual layers at initialization by a factor of 1/sqrt(N) where N is the
number of residual layers", to account "for the accumulation on the residual path with model depth". It gives no
ablation. Without the factor, N independent branches of one size add up to sqrt(N) times one of them.

Stated before the runs that count, with the factor less without it:
(1) At initialisation, what all layers have added grows less with depth: the slope of log size over log depth is lower,
by at least 0.25. Independent branches have 1/2 without the factor, and 0 with it.
(2) With 12 layers, each at its better rate, the loss after equal tokens is lower, by at least 0.02 nats/token.
(3) With 2 layers, each at its better rate, the losses are equal within 0.05. There the factor is 1/2, and little
accumulates. That the same runs tell half the tokens from all of them is the known difference beside it.

Measured: the validation loss after the same tokens in the same order, with 2, 6 and 12 layers (N is 4, 12 and 24) and
at two learning rates. The arms differ in the factor alone: the positions start at half of the tokens' deviation in
both, as in the released code. No arm has weights that are smaller by a constant, so 1/sqrt(N) is not told from a
smaller start. The deviation is GPT-2's 0.02 times sqrt(768 / width), so that a matrix has the gain that it has in
GPT-2; at 0.02 and small widths, no branch is large enough to accumulate. (1) needs no training. It is the root mean
square of what the layers have added to the embeddings, over that of the embeddings, at 2, 6, 12 and 24 layers. A run
fails if its loss stops being finite, or ends within 0.02 nats of the unigram entropy; failure rates are shown. `again`
is one arm at other seeds: the noise floor.

Seen before: the slopes of one seed on random bytes (0.02 with the factor, 0.54 without it: (1) follows from independent
draws, and checks the code), and single runs with the factor at two rates, which set the rates. No run without the
factor had been trained.

At laptop scale, 2 and 12 layers of width 64 read 153,600 bytes of the built-in plays. The first runs, seeds 0 to 2,
reproduced (1) and (2), and left (3) undecided by a hair: -0.060 [-0.070, -0.04995]. They are pilots now. Seeds 3 to 7
were fixed before any of them was run, and count alone. They left (3) undecided again, by less: -0.032 [-0.060, -0.004].
For it they are pilots now. Seeds 8 to 31 of the arms with 2 layers were fixed before any of them was run, and count for
(3) alone.
"""

from experiments.bases import OTHER_SEEDS, on_plays
from experiments.experiment import FAILED, Comparison, Experiment, FinishedRun, Scale
from experiments.sweep import axis, chain, product, section

FACTORS = axis("model.initialization", {"scaled": "gpt2", "unscaled": "gpt2-unscaled"})
DEPTHS = axis("model.n_layer", {"L2": 2, "L6": 6, "L12": 12})
RATES = axis("optimizer.learning_rate", {"lr2e-3": 2e-3, "lr6e-3": 6e-3})
CELLS = product(FACTORS, DEPTHS, RATES)
REPEATED = "scaled-L12-lr2e-3"
HALF = {"training.train_tokens": lambda base: base.training.train_tokens // 2}
PROBE = "L2-lr2e-3"  # where the residual stream at initialisation is measured: once per factor and seed
LOSS, SLOPE = "validation/loss", "residual/slope"


def measure(run: FinishedRun) -> dict[str, float | list[float]]:
    """In the probe's arms, what the layers have added at initialisation by depth, and its slope; else nothing."""
    from experiments.measurements.initial_gradient import log_slope
    from experiments.measurements.residual import branch_norms

    if run.identity.arm not in (f"scaled-{PROBE}", f"unscaled-{PROBE}"):
        return {}
    norms = branch_norms(run.config, run.corpus)
    by_depth = {f"residual/depth_{depth}": norm for depth, norm in norms.items()}
    return {**by_depth, SLOPE: log_slope(norms), "residual/by_depth": list(norms.values())}


def arms(factor: str, depth: str) -> tuple[str, ...]:
    """The arms of a factor and a depth: one for each rate."""
    return tuple(f"{factor}-{depth}-{rate}" for rate in RATES)


SMOKE = {
    **section("model", vocab_size=257, n_head=2, d_model=32, context_length=32),
    **section(
        "training",
        batch_tokens=256,
        train_tokens=10 * 256,
        evaluation_tokens=4096,
        evaluate_every_tokens=10 * 256,
        sample_tokens=16,
    ),
}


def budget(steps: int, batch: int):
    """Settings of a training of so many steps, a tenth of them warm-up."""
    return {
        "optimizer.warmup_tokens": steps // 10 * batch,
        **section(
            "training",
            batch_tokens=batch,
            train_tokens=steps * batch,
            evaluation_tokens=16_384,
            evaluate_every_tokens=steps // 3 * batch,
            checkpoint_every_tokens=steps * batch,
            sample_every_tokens=steps * batch,
            sample_tokens=32,
        ),
    }


LAPTOP = {
    **section("model", vocab_size=257, n_head=4, d_model=64, context_length=64, initialization_std=0.07),
    **budget(300, 512),
}

CPU = {
    **section("model", vocab_size=257, n_head=4, d_model=96, context_length=128, initialization_std=0.057),
    **budget(2000, 1024),
}

EXPERIMENT = Experiment(
    source="Radford et al. 2019, section 2.3",
    paper="GPT-2 states the factor and what it is for, and gives no figures.",
    base=on_plays({**section("data", tokenizer="bytes", validation_fraction=0.02), "model.scan_layers": True}),
    arms=chain(
        CELLS,
        product({"again": OTHER_SEEDS}, {REPEATED: CELLS[REPEATED]}),
        product({"half": HALF}, {f"scaled-{PROBE}": CELLS[f"scaled-{PROBE}"]}),
    ),
    scales={
        "smoke": Scale(SMOKE, arms=(f"scaled-{PROBE}", f"unscaled-{PROBE}")),
        "laptop": Scale(
            LAPTOP,
            seeds=(3, 4, 5),
            fixed=tuple(range(3, 8)),
            arms=(*(arm for arm in CELLS if "L6" not in arm), f"again-{REPEATED}", f"half-scaled-{PROBE}"),
        ),
        "cpu": Scale(CPU, seeds=tuple(range(5))),
        # 12 layers are 124M parameters, half a billion tokens a run. Not run by us.
        "paper": Scale(
            {
                **section("data", source="tfds:c4/webtextlike", tokenizer="gpt2", validation_fraction=0.005),
                "model.compute_dtype": "bfloat16",
                "training.train_tokens": 1000 * 524_288,
            },
            seeds=tuple(range(5)),
        ),
    },
    comparisons=(
        Comparison(
            f"scaled-{PROBE}",
            f"unscaled-{PROBE}",
            "lower",
            SLOPE,
            0.25,
            name="residual stream at init, slope with depth",
            with_failed=True,
        ),
        Comparison(arms("scaled", "L12"), arms("unscaled", "L12"), "lower", LOSS, 0.02, name="12 layers, best rate"),
        Comparison(
            arms("scaled", "L2"),
            arms("unscaled", "L2"),
            "equal",
            LOSS,
            0.05,
            name="2 layers, best rate",
            sensitivity="half the tokens - all",
            fresh={"laptop": tuple(range(8, 32))},
        ),
        Comparison(
            f"half-scaled-{PROBE}", f"scaled-{PROBE}", "higher", LOSS, 0.05, name="half the tokens - all", primary=False
        ),
        Comparison(
            arms("scaled", "L6"), arms("unscaled", "L6"), "lower", LOSS, name="6 layers, best rate", primary=False
        ),
        *(
            Comparison(f"scaled-{cell}", f"unscaled-{cell}", "lower", LOSS, name=f"at {cell}", primary=False)
            for cell in product(DEPTHS, RATES)
        ),
        Comparison(
            tuple(arm for arm in CELLS if arm.startswith("scaled")),
            tuple(arm for arm in CELLS if arm.startswith("unscaled")),
            "lower",
            FAILED,
            name="failure rate, whole grid",
            primary=False,
        ),
    ),
    metrics=(LOSS, "validation/bits_per_byte", SLOPE),
    profiles={"residual/by_depth": "depth (2, 6, 12, 24 layers)"},
    noise_floor=(f"again-{REPEATED}", REPEATED),
    divergence_is_outcome=True,
    plateau=0.02,
    evaluate=measure,
)
