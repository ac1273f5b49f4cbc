"""In-context learning: accuracy rises with the examples in the prompt, more so in larger models.

GPT-3 is given K solved examples in its context and no update of its weights. Of Figure 1.2 (random symbols are to be
removed from a word, at 1.3B, 13B and 175B parameters) the paper says that "the steeper 'in-context learning curves' for
large models demonstrate improved ability to learn a task from contextual information".

Here a model is trained on text that holds many small tasks written out (gpt_jax/data/mappings.py). Each is a mapping of
2 to 4 letters to letters that is drawn anew, and is known from its examples alone. The model is then asked about
mappings of 4 letters that were held out of the training text, with 0 to 11 examples before the question.

Stated before the runs that count, in percentage points:
(1) The largest model is ahead of a guesser, after 11 examples, by at least 10. The guesser takes the commonest of the
values before.
(2) Its gain (accuracy after 11 examples less that after none) is above the smallest model's, by at least 10.
(3) GPT-3's alternation of banded and dense layers has the higher recall than dense layers, by at least 10. Recall is
the accuracy on questions whose letter has been shown. GPT-3 gives no such comparison; a pilot pointed there.
(4) The founding note's strides in every layer have the lower recall than that alternation, by at least 10: a stride of
6 reaches one example in two, beyond the newest two.

Measured: exact match on 1,000 held-out mappings, greedily, in one pass for all K. The first K examples are the prompt.
All models have two layers, and differ in width (16, 32, 48) or in attention. They read the same 3.5 million bytes in
the same order, once, and have one rate. An ideal learner knows the letters that were shown, and one in 26 of the
others: 4, 27, 46, 70, 90 and 95 % after 0, 1, 2, 4, 8 and 11 examples. The guesser has 32 % after 11, and a recall of
38 %; a model is evidence only with a recall of 45 %. `again` is one arm at other seeds: the noise floor. A steeper
curve of a larger model means here that it learns sooner to look up. All have read far more mappings than their weights
could hold.

Pilots, a run each, on texts of this kind, set the task, the band and the budget. Two layers of 64 learned nothing of 8
keys, and neither of 6, in 0.9 to 2.3 million bytes. With 4 keys, two layers of 32 and 4.6 million bytes, the
alternation had a recall of 64 %, and dense layers had 36 %. No pilot of the widths 16 and 48, or of strides, was seen
before the margins were written.
"""

import configs
from experiments.bases import OTHER_SEEDS
from experiments.experiment import Comparison, Experiment, FinishedRun, Scale
from experiments.sweep import section
from gpt_jax.config import override

SHOTS = (0, 1, 2, 4, 8, 11)
LAST, GAIN, RECALL = "few_shot/accuracy_11", "few_shot/gain", "few_shot/recall"
WIDTH = 36  # bytes of a mapping, and of a window


def measure(run: FinishedRun) -> dict[str, float | list[float]]:
    """Accuracy by the number of examples, of the model and of the guesser."""
    from experiments.measurements.few_shot import in_context

    return in_context(run)


def budget(steps: int, mappings: int, warmup: int):
    """Settings of a training of so many steps on so many mappings each."""
    batch = mappings * WIDTH
    return {
        "optimizer.warmup_tokens": warmup * batch,
        **section(
            "training",
            batch_tokens=batch,
            train_tokens=steps * batch,
            evaluation_tokens=50 * WIDTH,
            evaluate_every_tokens=steps * batch // 10,
            checkpoint_every_tokens=steps * batch,
            sample_every_tokens=steps * batch,
            sample_tokens=WIDTH - 1,
        ),
    }


SETTINGS = {
    **section("data", source="mappings", tokenizer="bytes", packing="contiguous", validation_fraction=0.02),
    **section(
        "model",
        vocab_size=257,
        context_length=WIDTH,
        n_layer=2,
        n_head=2,
        compute_dtype="float32",
        attention="Banded(window=4), Dense()",
        embedding_dropout=0.0,
        attention_dropout=0.0,
        residual_dropout=0.0,
    ),
    **section("optimizer", learning_rate=4e-3, weight_decay=0.01, final_fraction=0.1),
    "training.batch_tokens": 32 * WIDTH,
}

# The deviation is GPT-2's 0.02 times sqrt(768 / width).
SMALL = section("model", d_model=16, initialization_std=0.14)
MEDIUM = section("model", d_model=32, initialization_std=0.1)
LARGE = section("model", d_model=48, initialization_std=0.08)

EXPERIMENT = Experiment(
    source="Brown et al. 2020, sections 1 and 3, Figure 1.2; section 2.1 (attention)",
    paper=(
        "Accuracy rises with the examples in the context, more steeply in larger models (Figure 1.2; Figure 1.3 over "
        "42 benchmarks). GPT-3 compares no attention patterns."
    ),
    base=override(configs.get("gpt2-124m"), SETTINGS),
    arms={
        "large": LARGE,
        "medium": MEDIUM,
        "small": SMALL,
        "dense": {**MEDIUM, "model.attention": "Dense()"},
        "banded": {**MEDIUM, "model.attention": "Banded(window=4)"},
        "strided": {**MEDIUM, "model.attention": "Strided(stride=6)"},
        "again": {**MEDIUM, **OTHER_SEEDS},
    },
    scales={
        "smoke": Scale(budget(10, 8, 2), arms=("medium", "dense")),
        "laptop": Scale(
            budget(3000, 32, 100), seeds=tuple(range(3)), arms=("large", "medium", "small", "dense", "strided", "again")
        ),
        # Every mapping of the text eight times. Not run by us.
        "cpu": Scale(budget(24_000, 32, 400), seeds=tuple(range(5))),
        # The text 256 times over: more would be drawn for it. Not run by us.
        "paper": Scale(budget(100_000, 256, 1000), seeds=tuple(range(5))),
    },
    comparisons=(
        Comparison(
            "large",
            "large",
            "higher",
            LAST,
            10,
            name="11 examples, large less guesser",
            against=f"majority/{LAST}",
        ),
        Comparison("large", "small", "higher", GAIN, 10, name="gain from 11 examples, large - small"),
        Comparison("medium", "dense", "higher", RECALL, 10, name="recall, banded and dense - dense"),
        Comparison("strided", "medium", "lower", RECALL, 10, name="recall, strided - banded and dense"),
        Comparison("large", "medium", "higher", GAIN, name="gain, large - medium", primary=False),
        Comparison("medium", "small", "higher", GAIN, name="gain, medium - small", primary=False),
        Comparison("strided", "dense", "lower", RECALL, name="recall, strided - dense", primary=False),
        Comparison("banded", "dense", "lower", RECALL, name="recall, banded - dense", primary=False),
    ),
    metrics=(GAIN, RECALL, *(f"few_shot/accuracy_{k}" for k in SHOTS), f"majority/{LAST}", "validation/loss"),
    profiles={"few_shot/by_examples": "examples before the question"},
    noise_floor=("again", "medium"),
    divergence_is_outcome=True,
    learned={RECALL: 45},
    evaluate=measure,
)
