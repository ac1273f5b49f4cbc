"""GPT-3: Brown et al. 2020, Table 2.1 and appendix B, in three attention variants.

Two of the table's rows contradict themselves and are corrected here, as Table D.1's parameter counts confirm:
XL prints 24 heads of 128 for a width of 2,048 (16 heads give 1,315.7 M, printed 1,320 M), and 13B prints a width
of 5,140 for 40 heads of 128 (5,120 gives 12,853 M, printed 12,850 M).
"""

from functools import partial

from configs.recipe import Recipe, Slice
from gpt_jax.attention.patterns import Banded, Dense, Pattern, Strided
from gpt_jax.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, TrainingConfig

# name: layers, width, heads, batch in sequences of 2,048 tokens, learning rate
SIZES = {
    "gpt3-125m": (12, 768, 12, 256, 6.0e-4),
    "gpt3-350m": (24, 1024, 16, 256, 3.0e-4),
    "gpt3-760m": (24, 1536, 16, 256, 2.5e-4),
    "gpt3-1.3b": (24, 2048, 16, 512, 2.0e-4),
    "gpt3-2.7b": (32, 2560, 32, 512, 1.6e-4),
    "gpt3-6.7b": (32, 4096, 32, 1024, 1.2e-4),
    "gpt3-13b": (40, 5120, 40, 1024, 1.0e-4),
    "gpt3-175b": (96, 12288, 96, 1536, 0.6e-4),
}

# "": "alternating dense and locally banded sparse attention patterns" (section 2.1); the band's width and which of
# the two comes first are not published: 256 and dense are ours. "strided": distances up to 128 and its multiples in
# every layer; a stride of 32 would attend the fewest pairs at 2,048 tokens, 128 fills a matrix unit.
ATTENTION: dict[str, tuple[Pattern, ...]] = {
    "": (Dense(), Banded(window=256)),
    "-strided": (Strided(stride=128),),
    "-dense": (Dense(),),
}


def gpt3(
    n_layer: int, d_model: int, n_head: int, sequences: int, learning_rate: float, attention: tuple[Pattern, ...]
) -> RunConfig:
    """GPT-2's architecture with 2,048 tokens of context, trained on 300 billion tokens.

    The rate warms up over 375 million tokens, falls by a cosine to 10 % at 260 billion, and is constant from there. The
    batch grows from 32 thousand tokens over the first 4 to 12 billion. The paper gives this range and not the sizes.
    Here it is 4 billion up to 1.3B parameters, 8 below 100B, and 12 for 175B. Batches of 0.5M, 1M, 2M and 3.2M tokens
    are read as 256, 512, 1,024 and 1,536 sequences. The paper mentions no dropout, and there is none. The data mix is
    not public. C4 stands in for it. The loss should reach about L(C) = 2.57 C^-0.048 nats/token, C in PF-days (Figure
    3.1).
    """
    billion = 1_000_000_000
    ramp = 4 if n_layer <= 24 else 12 if d_model == 12288 else 8
    return RunConfig(
        model=ModelConfig(
            vocab_size=50257,
            context_length=2048,
            n_layer=n_layer,
            n_head=n_head,
            d_model=d_model,
            norm="pre",
            attention=attention,
            attention_implementation="auto",
            initialization="gpt2",
            compute_dtype="bfloat16",
            embedding_dropout=0.0,
            attention_dropout=0.0,
            residual_dropout=0.0,
            scan_layers=n_layer > 12,
            remat="full" if d_model >= 2048 else "none",
        ),
        data=DataConfig(source="tfds:c4", tokenizer="gpt2", validation_fraction=0.001),
        optimizer=OptimizerConfig(
            learning_rate=learning_rate,
            b1=0.9,
            b2=0.95,
            epsilon=1e-8,
            weight_decay=0.1,
            clip_norm=1.0,
            schedule="cosine",
            warmup_tokens=375_000_000,
            decay_tokens=260 * billion,
            final_fraction=0.1,
        ),
        training=TrainingConfig(
            train_tokens=300 * billion,
            batch_tokens=sequences * 2048,
            batch_ramp_tokens=ramp * billion,
            batch_ramp_start=16 * 2048,
            evaluate_every_tokens=billion,
            checkpoint_every_tokens=billion,
            sample_every_tokens=10 * billion,
            evaluation_tokens=10_000_000,
        ),
    )


SLICES = {
    "gpt3-125m": Slice("v5e:2x4", "data=8", {"training.micro_batch": 32, "model.scan_layers": True}),
    "gpt3-350m": Slice("v5e:4x4", "fsdp=16", {"training.micro_batch": 64, "model.remat": "full"}),
    "gpt3-760m": Slice("v5e:4x4", "fsdp=16", {"training.micro_batch": 64, "model.remat": "full"}),
    "gpt3-1.3b": Slice("v5e:4x8", "fsdp=32", {"training.micro_batch": 128}),
    "gpt3-2.7b": Slice("v5e:8x8", "fsdp=64", {"training.micro_batch": 256}),
    "gpt3-6.7b": Slice("v5e:8x16", "fsdp=64,tensor=2", {"training.micro_batch": 256}),
    "gpt3-13b": Slice("v5e:16x16", "fsdp=128,tensor=2", {"training.micro_batch": 512}),
    "gpt3-175b": Slice("v5p:8x8x8", "fsdp=64,tensor=8", {"training.micro_batch": 512}),
}
PETAFLOP_DAY = 8.64e19  # FLOP


def recipe(name: str, variant: str) -> Recipe:
    """The recipe of one of `SIZES` in one of the `ATTENTION` variants."""
    n_layer, d_model, *_ = size = SIZES[name]
    config = gpt3(*size, attention=ATTENTION[variant])
    # C = 6 N D, where N counts the blocks' 12 L d^2 parameters, as Kaplan et al. (2020) count.
    petaflop_days = 6 * 12 * n_layer * d_model**2 * config.training.train_tokens / PETAFLOP_DAY
    loss = 2.57 * petaflop_days**-0.048
    reaches = f"about {loss:.2f} nats/token on GPT-3's own mix: L(C) = 2.57 C^-0.048 (GPT-3, Figure 3.1)"
    if variant == "-strided":
        reaches += ", for dense attention; strides are expected to cost quality on text (Child et al. 2019)"
    data = "GPT-3's mix is not public: C4 (tfds:c4) stands in for it; a mixture of sources by weight is data.source"
    return Recipe(name + variant, config, reaches, data, SLICES[name])


RECIPES = {name + variant: partial(recipe, name, variant) for variant in ATTENTION for name in SIZES}
