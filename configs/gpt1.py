"""GPT-1: Radford et al. 2018, section 4.1 (116,534,784 parameters)."""

from configs.recipe import Recipe, Slice
from gpt_jax.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, TrainingConfig


def gpt1() -> RunConfig:
    """Post-LN, 512 tokens of context, OpenAI's Adam with decoupled decay, cosine to 0.

    The model should reach the paper's token-level perplexity of 18.4 on BooksCorpus, whose split is not published. The
    paper trains 100 epochs in batches of 64 x 512 tokens. The one million updates here are read off the axis of its
    Figure 2. Adam's b1, b2, epsilon and the clip are not published. Ours are those of the released fine-tuning code.
    BooksCorpus is not public. PG-19 (TFDS "pg19") stands in for it, and --data-dir takes any folder of books. The
    vocabulary is OpenAI's: data.tokenizer=gpt1:FOLDER names the folder of its two files.
    """
    batch = 64 * 512
    return RunConfig(
        model=ModelConfig(
            vocab_size=40478,
            context_length=512,
            n_layer=12,
            n_head=12,
            d_model=768,
            d_ff=3072,
            norm="post",
            initialization="gpt1",
            embedding_dropout=0.1,
            attention_dropout=0.1,
            residual_dropout=0.1,
        ),
        data=DataConfig(source="tfds:pg19", tokenizer="gpt1", packing="contiguous", validation_fraction=0.01),
        optimizer=OptimizerConfig(
            name="openai_adam",
            learning_rate=2.5e-4,
            b1=0.9,
            b2=0.999,
            epsilon=1e-8,
            weight_decay=0.01,
            clip_norm=1.0,
            schedule="cosine",
            warmup_tokens=2000 * batch,
            final_fraction=0.0,
        ),
        training=TrainingConfig(
            train_tokens=1_000_000 * batch,
            batch_tokens=batch,
            evaluate_every_tokens=5000 * batch,
            checkpoint_every_tokens=5000 * batch,
            sample_every_tokens=50_000 * batch,
            evaluation_tokens=4_000_000,
        ),
    )


def gpt1_books() -> RunConfig:
    """GPT-1 at a size that two CPU cores pre-train in about an hour: 6 layers of 256, 256 tokens of context.

    The recipe needs a folder of novels (--data-dir). `python -m experiments.corpora.clean_books` makes such a folder
    from the public-domain collections. The model's width is a third of GPT-1's, so its weights start at std 0.04, and
    the rate is higher. The model sees 16 million tokens, half an epoch of 180 novels, so there is no dropout. The
    optimizer is AdamW, not OpenAI's form of it.
    """
    context, batch, steps = 256, 16 * 256, 4000
    return RunConfig(
        model=ModelConfig(
            vocab_size=8192,
            context_length=context,
            n_layer=6,
            n_head=4,
            d_model=256,
            norm="post",
            initialization="gpt1",
            initialization_std=0.04,
            matmul_dtype="bfloat16",
            embedding_dropout=0.0,
            attention_dropout=0.0,
            residual_dropout=0.0,
        ),
        data=DataConfig(source="local", tokenizer="sentencepiece", packing="contiguous", validation_fraction=0.02),
        optimizer=OptimizerConfig(
            learning_rate=5e-4,
            b1=0.9,
            b2=0.999,
            weight_decay=0.01,
            clip_norm=1.0,
            schedule="cosine",
            warmup_tokens=200 * batch,
            final_fraction=0.0,
        ),
        training=TrainingConfig(
            train_tokens=steps * batch,
            batch_tokens=batch,
            evaluation_tokens=131_072,
            evaluate_every_tokens=steps * batch // 10,
            checkpoint_every_tokens=steps * batch // 20,
            sample_every_tokens=steps * batch // 5,
            sample_tokens=80,
        ),
    )


RECIPES = {
    "gpt1": lambda: Recipe(
        "gpt1",
        gpt1(),
        reaches="a token-level perplexity of 18.4 on BooksCorpus (GPT-1, section 4.1; on which part is not published)",
        data="BooksCorpus is not public: PG-19 (tfds:pg19) stands in for it, or any folder of books",
        slice=Slice("v5e:2x2", "data=4", {"model.scan_layers": True, "model.remat": "full"}),
    ),
    "gpt1-books": lambda: Recipe(
        "gpt1-books",
        gpt1_books(),
        reaches="1.62 bits/byte on novels held out whole, in about an hour of two CPU cores (docs/LOG.md: one run)",
        data="a folder of novels: --data-dir",
        slice=Slice("v5e:2x2", "data=4"),
    ),
}
