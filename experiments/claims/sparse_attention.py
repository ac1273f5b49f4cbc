"""Sparse attention: what it saves, and what it costs in quality on text.

The founding note (docs/NOTE.md) describes GPT-3's attention as "locally dense, remotely sparse": distances up to k,
and k, 2k, 3k, ... That is the Sparse Transformer's strided pattern. GPT-3 itself alternates dense and locally banded
layers. The note names two benefits, less computation and less memory per layer, and quotes O(n log n). No stride can
reach O(n log n): at best the pairs grow like n^1.5 (docs/SPARSE_ATTENTION.md). The Sparse Transformer's authors say
that strides suit images and fail on text (enwik8: dense 1.00 bits/byte, fixed 0.99, strided 1.13).

Stated before any run: strided attention in every layer has a higher loss than dense attention, by at least 0.005
bits/byte. Alternating dense and banded layers (GPT-3), alternating dense and strided layers, and fixed attention equal
dense attention within 0.02. That is twice the distance between fixed and dense on enwik8. The papers give no number on
text for log-sparse attention: its result is shown, and carries no claim. Three pairs of `cpu` scale told no difference
below 0.06 apart (docs/LOG.md). They are pilots for the three equalities now: the differences were +0.005 (fixed),
-0.009 (banded) and -0.014 (strided), with sd of 0.025 to 0.027, so 24 pairs give intervals of 0.010 to 0.013 to each
side. Seeds 3 to 26 of their four arms were fixed before any of them was run, and count for the equalities alone. The
known difference beside them was strided less dense. No run of either scale tells it from 0, so `dense-half`, dense
attention on half of the tokens, takes its place: stated higher by at least 0.05 bits/byte before any run of it, with
seeds 0 to 2. Seeds 3 to 26 spread far less than the pilots: sd of 0.005 to 0.010. So 24 pairs can tell 0.005 as well.
Seeds 27 to 50 of strided and dense were fixed before any of them was run, and count for their difference alone.

Laptop scale asks at contexts of 1,024 and 4,096 tokens, after equal tokens and after equal time. Stated before its
runs, with seeds 1 to 4: after equal tokens, strided attention in every layer is worse than dense attention by at least
0.065 bits/byte, half of what it loses on enwik8, and GPT-3's alternation equals dense attention within 0.05. After
equal time, strided attention is better by at least 0.05 at both lengths. Time is that of a training step, on one core
of an AMD EPYC beside other work, before the runs: at 1,024 tokens dense attention reads 4.6 thousand tokens a second,
the alternation 6.3 and strided 9.1; at 4,096 tokens they read 2.0, 3.3 and 7.4. So the arms `dense-short` read one half
of the others' tokens at 1,024, and 28 of 100 batches at 4,096. The time is fixed by these counts, and a rerun has the
same bits on any machine; each line has its own `time/tokens_per_second`. How much dense attention loses with fewer
tokens is the known difference of the equalities. Seeds 1 to 4 left one comparison undecided: strided less dense after
equal tokens at 4,096, -0.005 [-0.069, 0.058]. They are pilots for it now. Seeds 5 to 12 of its two arms were fixed
before any of them was run, and count for it alone.

Measured: bits per byte of held-out text after equal tokens, with paired seeds. One layer of each arm's attention (4
heads of 64, forward and backward) is measured at 512 to 32,768 tokens: its time, the memory of its compiled program
and its pairs, with the exponents fitted to them. Strides and blocks grow like the square root of the length.
`dense-again` is `dense` at other seeds: the noise floor.
"""

from collections.abc import Callable
from pathlib import Path

from experiments.bases import OTHER_SEEDS, on_plays
from experiments.experiment import Comparison, Experiment, Scale
from experiments.measurements.attention_cost import cost_by_length
from experiments.sweep import section
from gpt_jax.config import RunConfig


def picture(path: Path) -> None:
    """The masks, as the note's figure."""
    from experiments.measurements.pictures import draw_patterns

    draw_patterns(path)


SMOKE = {
    **section("model", vocab_size=512, n_layer=2, n_head=2, d_model=32, context_length=128),
    **section(
        "training",
        batch_tokens=1024,
        train_tokens=8 * 1024,
        evaluation_tokens=4096,
        evaluate_every_tokens=4 * 1024,
        sample_tokens=16,
    ),
}

CPU = {
    **section(
        "model",
        vocab_size=1024,
        n_layer=4,
        n_head=4,
        d_model=128,
        context_length=512,
        initialization_std=0.06,
        matmul_dtype="bfloat16",
    ),
    **section("optimizer", learning_rate=3e-3, warmup_tokens=20_480),
    **section(
        "training",
        batch_tokens=2048,
        train_tokens=409_600,
        evaluation_tokens=65_536,
        evaluate_every_tokens=102_400,
        checkpoint_every_tokens=204_800,
        sample_every_tokens=409_600,
        sample_tokens=64,
    ),
}

BATCH, BATCHES = 4096, 100

LAPTOP = {
    **CPU,
    **section(
        "training",
        batch_tokens=BATCH,
        train_tokens=BATCHES * BATCH,
        evaluation_tokens=65_536,
        evaluate_every_tokens=25 * BATCH,
        checkpoint_every_tokens=50 * BATCH,
        sample_every_tokens=BATCHES * BATCH,
    ),
}


def part(batches: int) -> Callable[[RunConfig], int]:
    """`batches` of the base's tokens, where all are `BATCHES`: whoever gives all arms more keeps their ratio."""

    def tokens(base: RunConfig) -> int:
        batch = base.training.batch_tokens
        return max(base.training.train_tokens * batches // BATCHES // batch, 1) * batch

    return tokens


# At each context: the stride, and how many batches dense attention reads in the time that strides take for all.
AT = {1024: (32, 50), 4096: (64, 28)}
LONG = {
    f"{name}-{length}": {"model.context_length": length, **changes}
    for length, (stride, batches) in AT.items()
    for name, changes in {
        "dense": {"model.attention": "Dense()"},
        "dense-banded": {"model.attention": "Dense(), Banded(window=64)"},
        "strided": {"model.attention": f"Strided(stride={stride})"},
        "dense-short": {"model.attention": "Dense()", "training.train_tokens": part(batches)},
    }.items()
}
SHORT = {
    "dense": {"model.attention": "Dense()"},
    "dense-banded": {"model.attention": "Dense(), Banded(window=64)"},
    "strided": {"model.attention": "Strided(stride=22)"},
    "dense-strided": {"model.attention": "Dense(), Strided(stride=22)"},
    "fixed": {"model.attention": "Fixed(block=32, summary=8)"},
    "log-sparse": {"model.attention": "LogSparse(window=16)"},
    "dense-half": {"model.attention": "Dense()", "training.train_tokens": part(50)},
    "dense-again": {"model.attention": "Dense()", **OTHER_SEEDS},
}
FEWER = "dense: half the tokens - all"


def after_equal_tokens_and_time(length: int) -> tuple[Comparison, ...]:
    """What is stated of a context of `length` tokens."""
    dense, short = f"dense-{length}", f"dense-short-{length}"
    known = f"dense, fewer tokens - all, {length} tokens"
    strided, banded = f"strided-{length}", f"dense-banded-{length}"
    return (
        Comparison(
            strided,
            dense,
            "higher",
            margin=0.065,
            name=f"equal tokens: strided - dense, {length} tokens",
            fresh={"laptop": tuple(range(5, 13))} if length == 4096 else {},
        ),
        Comparison(
            banded, dense, "equal", margin=0.05, name=f"alternating - dense, {length} tokens", sensitivity=known
        ),
        Comparison(strided, short, "lower", margin=0.05, name=f"equal time: strided - dense, {length} tokens"),
        Comparison(short, dense, "higher", margin=0.05, name=known, primary=False),
    )


EXPERIMENT = Experiment(
    source="Brown et al. 2020, section 2.1; Child et al. 2019, section 4.2 and Table 1",
    paper=(
        "On enwik8, dense attention has 1.00 bits/byte, fixed 0.99 and strided 1.13 (Child et al.); GPT-3 "
        "compares nothing."
    ),
    base=on_plays(),
    arms={**SHORT, **LONG},
    scales={
        "smoke": Scale(SMOKE, arms=("dense", "strided")),
        "cpu": Scale(CPU, seeds=(0, 1, 2), arms=tuple(SHORT)),
        "laptop": Scale(LAPTOP, seeds=(1, 2, 3, 4), arms=tuple(LONG)),
        # 124M parameters, 2.5 billion tokens. Not run by us.
        "paper": Scale(
            {
                **section("data", source="tfds:pg19", tokenizer="gpt2", validation_fraction=0.01),
                "model.compute_dtype": "bfloat16",
                "training.train_tokens": 4768 * 524_288,
            },
            seeds=(0, 1, 2),
            arms=tuple(SHORT),
        ),
    },
    comparisons=(
        Comparison("strided", "dense", "higher", margin=0.005, fresh={"cpu": tuple(range(27, 51))}),
        *(
            Comparison(arm, "dense", "equal", margin=0.02, sensitivity=FEWER, fresh={"cpu": tuple(range(3, 27))})
            for arm in ("fixed", "dense-banded", "dense-strided")
        ),
        Comparison("dense-half", "dense", "higher", margin=0.05, name=FEWER, primary=False),
        Comparison("log-sparse", "dense", "higher", margin=0.005, primary=False),
        *(comparison for length in AT for comparison in after_equal_tokens_and_time(length)),
    ),
    metrics=(
        "validation/bits_per_byte",
        "cost/pairs_exponent",
        "cost/memory_exponent",
        "time/exponent",
        "time/tokens_per_second",
    ),
    profiles={
        "time/seconds_by_length": "length: 512 tokens, doubled at each point",
        "cost/mebibytes_by_length": "length: 512 tokens, doubled at each point",
    },
    noise_floor=("dense-again", "dense"),
    divergence_is_outcome=True,
    evaluate=cost_by_length,
    picture=picture,
)
