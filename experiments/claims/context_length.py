"""A context of 1,024 tokens predicts better than one of 512: a little, and late in the window.

GPT-2 doubled GPT-1's context and reports no ablation. The expectation here follows from what a longer context can do:
only tokens with more than 512 tokens of history can gain.

Stated before any run, on the same evaluation tokens: the 1,024 model has the lower loss overall, by at least 0.005
nats/token. In the second half of a window its loss is lower by at least 0.01. In the first half, where both models have
the same history, the losses are equal within 0.02. Only half of the tokens can gain, so the margin over all tokens is
half of the second half's. Other claims here call 0.02 no difference, too.

Measured: both models are scored on the same windows of 1,024 held-out tokens. The 512 model reads a window as two
chunks and has no history at the start of the second, as it must. If each model were scored on windows of its own
length, the comparison would also measure how many tokens have a short history. Both models take the same tokens per
step (twice as many sequences at 512) and the same tokens in all, from the same corpus. Windows are shuffled whole, so
the order of the text differs between the arms until an epoch is complete. `1024-again` is `1024` at other seeds: the
noise floor.
"""

from experiments.bases import OTHER_SEEDS, on_plays
from experiments.experiment import Comparison, Experiment, Scale
from experiments.measurements.positions import loss_by_position
from experiments.sweep import section

SMOKE = {
    **section("model", vocab_size=512, n_layer=1, n_head=2, d_model=32),
    **section(
        "training",
        batch_tokens=2048,
        train_tokens=10 * 2048,
        evaluation_tokens=8192,
        evaluate_every_tokens=5 * 2048,
        sample_tokens=16,
    ),
}

CPU = {
    **section(
        "model", vocab_size=1024, n_layer=3, n_head=4, d_model=128, initialization_std=0.06, matmul_dtype="bfloat16"
    ),
    **section("optimizer", learning_rate=3e-3, warmup_tokens=40_960),
    **section(
        "training",
        batch_tokens=4096,
        train_tokens=1_024_000,
        evaluation_tokens=131_072,
        evaluate_every_tokens=204_800,
        checkpoint_every_tokens=512_000,
        sample_every_tokens=1_024_000,
        sample_tokens=64,
    ),
}

EXPERIMENT = Experiment(
    source="Radford et al. 2019, section 2.3: context 512 -> 1024 (no ablation is given there)",
    paper="GPT-2 doubled the context and gives no ablation of it.",
    base=on_plays(),
    arms={
        "512": {"model.context_length": 512},
        "1024": {"model.context_length": 1024},
        "1024-again": {"model.context_length": 1024, **OTHER_SEEDS},
    },
    scales={
        "smoke": Scale(SMOKE, arms=("512", "1024")),
        "cpu": Scale(CPU, seeds=tuple(range(5))),
        # Long documents matter here: books. Not run by us.
        "paper": Scale(
            {
                **section("data", source="tfds:pg19", tokenizer="gpt2", validation_fraction=0.01),
                "model.compute_dtype": "bfloat16",
                "training.train_tokens": 4768 * 524_288,
            },
            seeds=tuple(range(3)),
        ),
    },
    comparisons=(
        Comparison("1024", "512", "lower", metric="same_tokens/loss", margin=0.005, name="all positions"),
        Comparison("1024", "512", "lower", metric="same_tokens/loss_second_half", margin=0.01, name="second half"),
        Comparison(
            "1024",
            "512",
            "equal",
            metric="same_tokens/loss_first_half",
            margin=0.02,
            name="first half",
            sensitivity="second half",
        ),
    ),
    metrics=("same_tokens/loss", "same_tokens/loss_first_half", "same_tokens/loss_second_half", "validation/loss"),
    profiles={"same_tokens/loss_by_position": "position in the window (buckets of 64 tokens)"},
    noise_floor=("1024-again", "1024"),
    evaluate=loss_by_position,
)
