"""GPT-2: Radford et al. 2019, Table 2. The names have the true parameter counts, not the paper's first ones."""

from functools import partial

from configs.recipe import Milestone, Recipe, Slice
from gpt_jax.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, TrainingConfig

# name: layers, width, heads, learning rate. The paper tuned the rate by hand for each size and printed none:
# these are GPT-3's for the nearest size (its Table 2.1).
SIZES = {
    "gpt2-124m": (12, 768, 12, 6.0e-4),
    "gpt2-355m": (24, 1024, 16, 3.0e-4),
    "gpt2-774m": (36, 1280, 20, 2.5e-4),
    "gpt2-1.5b": (48, 1600, 25, 2.0e-4),
}


def gpt2(n_layer: int, d_model: int, n_head: int, learning_rate: float) -> RunConfig:
    """Pre-LN with a final norm, 50,257 entries, 1,024 tokens of context, batches of 512 sequences.

    The sizes have 124,439,808, 354,823,168, 774,030,080 and 1,557,611,200 parameters. The released checkpoints score
    3.12, 2.84, 2.67 and 2.54 nats/token on OpenWebText (nanoGPT's measurement). A 124M that is trained on OpenWebText
    for 300 billion tokens reaches about 2.85. Steps, decay, warm-up and schedule are not published, and are ours. There
    is no dropout, because all four sizes underfit WebText (section 5). WebText is not public. C4's "webtextlike" stands
    in for it.
    """
    batch = 512 * 1024
    return RunConfig(
        model=ModelConfig(
            vocab_size=50257,
            context_length=1024,
            n_layer=n_layer,
            n_head=n_head,
            d_model=d_model,
            norm="pre",
            initialization="gpt2",
            compute_dtype="bfloat16",
            attention_implementation="auto",
            embedding_dropout=0.0,
            attention_dropout=0.0,
            residual_dropout=0.0,
            scan_layers=n_layer > 12,
            remat="full" if n_layer > 24 else "none",
        ),
        data=DataConfig(source="tfds:c4/webtextlike", tokenizer="gpt2", validation_fraction=0.005),
        optimizer=OptimizerConfig(
            learning_rate=learning_rate,
            b1=0.9,
            b2=0.95,
            weight_decay=0.1,
            clip_norm=1.0,
            schedule="cosine",
            warmup_tokens=700 * batch,
            final_fraction=0.1,
        ),
        training=TrainingConfig(
            train_tokens=572_000 * batch,
            batch_tokens=batch,
            evaluate_every_tokens=1000 * batch,
            checkpoint_every_tokens=1000 * batch,
            sample_every_tokens=10_000 * batch,
            evaluation_tokens=10_000_000,
        ),
    )


# The released checkpoints' losses on OpenWebText, as nanoGPT's README measured them.
RELEASED = {"gpt2-124m": 3.12, "gpt2-355m": 2.84, "gpt2-774m": 2.67, "gpt2-1.5b": 2.54}

SLICES = {
    "gpt2-124m": Slice("v5e:2x4", "data=8", {"training.micro_batch": 64, "model.scan_layers": True}),
    "gpt2-355m": Slice("v5e:4x4", "fsdp=16", {"training.micro_batch": 128, "model.remat": "full"}),
    "gpt2-774m": Slice("v5e:4x4", "fsdp=16", {"training.micro_batch": 128}),
    "gpt2-1.5b": Slice("v5e:4x4", "fsdp=16", {"training.micro_batch": 128}),
}

# llm.c's log of a 124M with this rate, warm-up and batch; its cosine ends at step 19,560. On FineWeb's validation text.
LLM_C = "llm.c on FineWeb: KellerJordan/modded-nanogpt, records/2024-10-13_llmc/main.log"
MILESTONES = {
    "gpt2-124m": (Milestone(1_000, 4.317, LLM_C), Milestone(5_000, 3.554, LLM_C), Milestone(19_560, 3.272, LLM_C)),
}


def recipe(name: str) -> Recipe:
    """The recipe of one of `SIZES`."""
    reaches = f"below {RELEASED[name]} nats/token on OpenWebText, as OpenAI's released weights have (nanoGPT's README)"
    if name == "gpt2-124m":
        reaches += "; nanoGPT's own 124M reaches 2.85 there after 300 billion tokens"
    data = (
        "WebText is not public: C4's part like it (tfds:c4/webtextlike) stands in; OpenWebText, FineWeb by --data-dir"
    )
    return Recipe(name, gpt2(*SIZES[name]), reaches, data, SLICES[name], MILESTONES.get(name, ()))


RECIPES = {name: partial(recipe, name) for name in SIZES}
