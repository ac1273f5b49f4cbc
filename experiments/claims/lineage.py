"""GPT-1, GPT-2 and GPT-3 as one decoder with three settings: same size, same text, same budget.

The arms differ in what the papers changed in the architecture, and in nothing else. GPT-1 is post-LN with 512 tokens of
context and an initialisation of its own. GPT-2 is pre-LN with a final norm, 1,024 tokens, and residual projections that
are scaled by depth. GPT-3 is GPT-2 with attention that alternates between dense and banded layers (256 wide here: the
band's width is unpublished). GPT-2 and GPT-3 do not ablate these changes. The papers' models also grew; here the size
is held fixed.

Stated before any run: GPT-2's architecture has the lower loss, by at least 0.01 bits/byte. GPT-3's sparse layers cost
nothing: the losses are equal within 0.02 bits/byte, twice the distance between the Sparse Transformer's fixed pattern
and dense attention on enwik8.

Measured: bits per byte of the same held-out text, in windows of each model's own context, as the model would be used;
and the loss by position on the same windows of 1,024 tokens. The tokenizer, the packing, the optimizer, the tokens per
step and the tokens in all are the same. The packing is by documents for every arm, though GPT-1 packed contiguously.
`gpt2-again` is `gpt2` at other seeds: the noise floor. `gpt2-half` takes half the tokens, which is a known difference:
if that difference cannot be seen, "costs nothing" shows only that nothing is told apart.
"""

from experiments.bases import OTHER_SEEDS, on_plays
from experiments.experiment import Comparison, Experiment, Scale
from experiments.measurements.positions import loss_by_position
from experiments.sweep import section

GPT2 = section("model", norm="pre", initialization="gpt2", context_length=1024, attention="Dense()")

SMOKE = {
    **section("model", vocab_size=512, n_layer=2, n_head=2, d_model=32),
    **section(
        "training",
        batch_tokens=2048,
        train_tokens=8 * 2048,
        evaluation_tokens=8192,
        evaluate_every_tokens=4 * 2048,
        sample_tokens=16,
    ),
}

CPU = {
    **section(
        "model", vocab_size=2048, n_layer=4, n_head=4, d_model=128, initialization_std=0.06, matmul_dtype="bfloat16"
    ),
    **section("optimizer", learning_rate=2e-3, warmup_tokens=40_960),
    **section(
        "training",
        batch_tokens=4096,
        train_tokens=819_200,
        evaluation_tokens=65_536,
        evaluate_every_tokens=163_840,
        checkpoint_every_tokens=409_600,
        sample_every_tokens=819_200,
        sample_tokens=64,
    ),
}

EXPERIMENT = Experiment(
    source="Radford et al. 2018, 4.1; Radford et al. 2019, 2.3; Brown et al. 2020, 2.1",
    paper=(
        "GPT-2 and GPT-3 give no ablation of these changes. In the Sparse Transformer, the fixed pattern has "
        "0.99 bits/byte on enwik8, and dense attention 1.00."
    ),
    base=on_plays(),
    arms={
        "gpt1": {**GPT2, **section("model", norm="post", initialization="gpt1", context_length=512)},
        "gpt2": GPT2,
        "gpt3": {**GPT2, "model.attention": "Dense(), Banded(window=256)"},
        "gpt2-again": {**GPT2, **OTHER_SEEDS},
        "gpt2-half": {**GPT2, "training.train_tokens": lambda base: base.training.train_tokens // 2},
    },
    scales={
        "smoke": Scale(SMOKE, arms=("gpt1", "gpt2", "gpt3")),
        "cpu": Scale(CPU, seeds=(0, 1, 2)),
        # 124M parameters, 2.5 billion tokens. Not run by us.
        "paper": Scale(
            {
                **section("data", source="tfds:c4/webtextlike", tokenizer="gpt2", validation_fraction=0.005),
                "model.compute_dtype": "bfloat16",
                "training.train_tokens": 4768 * 524_288,
            },
            seeds=(0, 1, 2),
        ),
    },
    comparisons=(
        Comparison("gpt2", "gpt1", "lower", margin=0.01),
        Comparison("gpt3", "gpt2", "equal", margin=0.02, sensitivity="half the tokens - all"),
        Comparison("gpt2-half", "gpt2", "higher", margin=0.02, name="half the tokens - all", primary=False),
        Comparison(
            "gpt2", "gpt1", "lower", "same_tokens/loss_first_half", name="gpt2 - gpt1, same history", primary=False
        ),
    ),
    metrics=("validation/bits_per_byte", "validation/loss", "same_tokens/loss", "time/tokens_per_second"),
    profiles={"same_tokens/loss_by_position": "position in the window (buckets of 64 tokens)"},
    noise_floor=("gpt2-again", "gpt2"),
    divergence_is_outcome=True,
    evaluate=loss_by_position,
)
