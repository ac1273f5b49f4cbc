"""Pre-trainings that differ in sources, tokens and size: what `ood` fine-tunes.

The founding note (docs/NOTE.md) says that more, and more diverse, pre-training data is better for OOD generalisation.
This experiment trains one size on 1, 2 and 4 sources at one budget of tokens (diversity). It trains that size on 1/8,
1/4, 1/2 and all of the tokens of the mix of four (scale). And it trains a smaller and a larger decoder and an LSTM on
all of them. Only the pre-training is measured here. `ood` measures what the models are good for.

Stated before any run, in bits per byte of held-out text of the mix: half the tokens is worse than all, an eighth is
worse than half, and the LSTM is worse than the decoder of about its size, each by at least 0.02 bits/byte. The margin
was added later, with the figures of docs/LOG.md known; less is what `lineage` and `sparse_attention` call no
difference.

--data-dir has a folder of text for each source: books, news, speeches and wikipedia. A mixture draws its sources in
equal shares of the tokens (`data.source`, docs/DATA.md), so arms of one budget see as much text, however many sources
they have; a source that is smaller than its share is read again, and a run prints how often. Ours are novels, radio
news, presidents' speeches and Wikipedia. Sources differ in kind and in number. One order of four shows no more than
that order. Each mixture trains its own tokenizer, so that bits per byte of one are on its own text, and compare only
within the mix of four; of each source they are logged too. There are four seeds, since each fine-tuning of `ood`
starts from a pre-training of its own.

Earlier figures of docs/LOG.md are of one run each, and of files made beforehand: 8 million characters in every mixture,
in equal shares of the characters. Since then the shares are of the tokens, and a source gives all its text; directions
and margins stay.
"""

import configs
from experiments.claims.books import SMOKE
from experiments.experiment import Comparison, Experiment, Scale
from experiments.sweep import section
from gpt_jax.config import override

BATCH, STEPS = 4096, 480
PRETRAININGS = 4  # of each arm
SOURCES = ("books", "news", "speeches", "wikipedia")


def equal_shares(count: int) -> str:
    """The first sources as a mixture."""
    return ", ".join(f"1*local:{source}" for source in SOURCES[:count])


BASE = override(
    configs.get("quickstart"),
    {
        **section("data", source=equal_shares(4), validation_fraction=0.05),
        **section("optimizer", learning_rate=2e-3, warmup_tokens=30 * BATCH),
        **section(
            "training",
            batch_tokens=BATCH,
            train_tokens=STEPS * BATCH,
            evaluate_every_tokens=STEPS * BATCH // 4,
            checkpoint_every_tokens=STEPS * BATCH // 4,
            sample_every_tokens=STEPS * BATCH,
        ),
    },
)


def part(divisor: int):
    """A part of the base's tokens, with the same part of its warm-up."""
    return {
        f"{section}.{key}": lambda base, section=section, key=key: (
            max(getattr(getattr(base, section), key) // divisor // base.training.batch_tokens, 1)
            * base.training.batch_tokens
        )
        for section, key in (("training", "train_tokens"), ("optimizer", "warmup_tokens"))
    }


SMALL = section("model", n_layer=2, d_model=64, n_head=2, initialization_std=0.09)
LARGE = section("model", n_layer=6, d_model=192, n_head=6, initialization_std=0.05)
LSTM = section("model", architecture="lstm", n_layer=1)

EXPERIMENT = Experiment(
    source="the founding note (docs/NOTE.md) on GPT-3; Hendrycks et al. 2020, section 3",
    paper=(
        "The note gives no figures. Hendrycks et al.: RoBERTa, on more data, loses less out of distribution "
        "than BERT; this was no controlled ablation."
    ),
    base=BASE,
    arms={
        "sources4": {},
        "sources2": {"data.source": equal_shares(2)},
        "sources1": {"data.source": equal_shares(1)},
        "half": part(2),
        "quarter": part(4),
        "eighth": part(8),
        "small": SMALL,
        "large": LARGE,
        "lstm": LSTM,
    },
    scales={
        "smoke": Scale(SMOKE, arms=("sources4", "half")),
        "cpu": Scale({}, seeds=tuple(range(PRETRAININGS))),
        # 124M parameters, ten billion tokens: sources of that size are the user's. Not run by us.
        "paper": Scale(
            {
                **section(
                    "model",
                    n_layer=12,
                    n_head=12,
                    d_model=768,
                    context_length=1024,
                    vocab_size=50257,
                    initialization_std=0.02,
                    compute_dtype="bfloat16",
                ),
                "data.tokenizer": "gpt2",
                **section("optimizer", learning_rate=6e-4, warmup_tokens=716 * 524_288),
                **section("training", batch_tokens=524_288, train_tokens=19_073 * 524_288),
            },
            arms=("sources4", "sources2", "sources1", "half", "quarter", "eighth"),
        ),
    },
    data="mixtures",
    comparisons=(
        Comparison("half", "sources4", "higher", margin=0.02, name="half the tokens - all"),
        Comparison("eighth", "half", "higher", margin=0.02, name="an eighth of the tokens - half"),
        Comparison("lstm", "sources4", "higher", margin=0.02, name="LSTM - decoder"),
        Comparison("large", "sources4", "lower", name="large - medium", primary=False),
        Comparison("small", "sources4", "higher", name="small - medium", primary=False),
    ),
)
