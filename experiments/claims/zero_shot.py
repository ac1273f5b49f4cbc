"""Zero-shot: tasks that nothing was trained for are done better as the log-likelihood of text rises.

GPT-2 trains on text alone, and does tasks by the likelihood of text. "Performance improves in a log-linear fashion"
with size "across tasks" (section 1): LAMBADA's perplexity falls from 35.13 to 8.63 and its accuracy rises from 45.99 to
63.24 % from 117M to 1,542M parameters (Table 3). GPT-1 (section 5.1, Figure 2, right) finds that heuristics by
likelihood rise steadily over pre-training.

Stated before the runs that count, with tasks in % (experiments/measurements/zero_shot.py):
(1) Over the checkpoints of a run of the largest model, the likelihood of last words rises with the log-likelihood of
text, and the minimal pairs' accuracy does: Spearman's correlations are above 0, by at least 0.5.
(2) At equal tokens, the largest model is ahead of the smallest: in minimal pairs by at least 2 points, in last words by
at least 1, and in the nats of a last word (lower) by at least 0.1.
(3) On four lines of which one comes next, the largest is ahead of chance (25 %) by at least 2. Nothing is stated of
sizes there.

Measured: the built-in plays. A model reads the 17 plays that tasks train on, once, and nothing else. The tasks are of
test plays, with 300 items each, the same for every run: the last word of a line after the two lines before it
(LAMBADA's form), a line against its words in another order (minimal pairs, as BLiMP's), and `play_next`. Six
checkpoints of a run, evenly spread, are scored in the same way; the log-likelihood is that of the plays' held-out ends.
Three sizes differ in width and depth. `again` is one size at other seeds: the noise floor. The error of 300 items at 60
% is 2.8 points for one run; the items are shared, so differences of runs vary less, and an interval is for these items.
All sizes train at one learning rate.

The last word's nats are themselves a log-likelihood of text. That they rise together says that the plays' ends tell of
other plays. Accuracies are the claim. That a correlation over one run's checkpoints is high says that both rise with
training, not that one causes the other; the sizes at equal tokens are the other half of the evidence.

After this was stated, and before the runs, one run of the smallest model was seen: it had 86 % of the minimal pairs,
0.3 % of the last words and 24 % of the next lines.

The seeds of the scale left (3) undecided: +0.3 points [-1.7, 2.2] over twelve runs. They are pilots for it now. Seeds
12 to 35 of the largest model were fixed before any of them was run, and count for (3) alone.

`zero_shot_sets` asks BLiMP, LAMBADA and WikiText as published, and GPT-1's heuristics.
"""

import configs
from experiments.bases import OTHER_SEEDS, keeping_checkpoints
from experiments.experiment import SMOKE, Comparison, Experiment, FinishedRun, Scale
from experiments.sweep import section
from gpt_jax.config import override

CHECKPOINTS, ITEMS = 6, 300  # items of each task
ORDER, WORD, NATS, NEXT = (f"zero_shot/{name}" for name in ("order", "last_word", "last_word_nats", "next"))


def measure(run: FinishedRun) -> dict[str, float | list[float]]:
    """Scores of the tasks at every checkpoint, and their rank correlations with the log-likelihood."""
    from experiments.measurements.zero_shot import measure

    return measure(run, CHECKPOINTS, items=20 if run.identity.scale == SMOKE else ITEMS)


# The deviation is GPT-2's 0.02 times sqrt(768 / width).
LARGE = section("model", n_layer=3, d_model=96, n_head=4, initialization_std=0.057)
MEDIUM = section("model", n_layer=2, d_model=64, n_head=4, initialization_std=0.069)
SMALL = section("model", n_layer=1, d_model=32, n_head=2, initialization_std=0.098)

EXPERIMENT = Experiment(
    source="Radford et al. 2019, sections 1 and 3.3, Figure 1 and Table 3; Radford et al. 2018, section 5.1",
    paper=(
        "LAMBADA's perplexity falls from 35.13 to 8.63 and its accuracy rises from 45.99 to 63.24 % from GPT-2's "
        "smallest size to its largest; GPT-1's heuristics rise steadily over pre-training."
    ),
    base=override(configs.get("quickstart"), {"data.source": "plays_train", "model.vocab_size": 1024}),
    arms={
        "large": LARGE,
        "medium": MEDIUM,
        "small": SMALL,
        "again": {**MEDIUM, **OTHER_SEEDS},
    },
    scales={
        "smoke": Scale({**keeping_checkpoints(CHECKPOINTS, 12, 512), "model.vocab_size": 512}, arms=("small",)),
        "laptop": Scale(keeping_checkpoints(CHECKPOINTS, 1200, 512), seeds=tuple(range(3))),
        # Eight times through the plays. Not run by us.
        "cpu": Scale(keeping_checkpoints(CHECKPOINTS, 4800, 1024), seeds=tuple(range(5))),
        # The same sizes on text without end, to tell repetition from size. Not run by us.
        "paper": Scale(
            {
                **section("data", source="tfds:c4/webtextlike", tokenizer="gpt2", validation_fraction=0.005),
                "model.vocab_size": 50_257,
                **keeping_checkpoints(CHECKPOINTS, 60_000, 65_536),
            },
            seeds=tuple(range(3)),
        ),
    },
    comparisons=(
        Comparison("large", (), "higher", f"{NATS}_rank", 0.5, name="likelihood of last words with that of text"),
        Comparison("large", (), "higher", f"{ORDER}_rank", 0.5, name="minimal pairs with the likelihood of text"),
        Comparison("large", "small", "higher", ORDER, 2, name="minimal pairs, large - small"),
        Comparison("large", "small", "higher", WORD, 1, name="last words, large - small"),
        Comparison("large", "small", "lower", NATS, 0.1, name="nats of a last word, large - small"),
        Comparison(
            "large",
            "large",
            "higher",
            NEXT,
            2,
            name="next line, large less chance",
            against="chance/next",
            fresh={"laptop": tuple(range(12, 36))},
        ),
        Comparison("large", (), "higher", f"{WORD}_rank", name="last words with the likelihood of text", primary=False),
        Comparison("large", (), "higher", f"{NEXT}_rank", name="next lines with the likelihood of text", primary=False),
        Comparison("large", "small", "higher", NEXT, name="next line, large - small", primary=False),
        *(
            Comparison(ours, theirs, "higher", metric, name=f"{what}, {ours} - {theirs}", primary=False)
            for what, metric in (("minimal pairs", ORDER), ("last words", WORD))
            for ours, theirs in (("large", "medium"), ("medium", "small"))
        ),
    ),
    metrics=(ORDER, WORD, NATS, NEXT, *(f"{name}_rank" for name in (ORDER, WORD, NATS, NEXT)), "validation/loss"),
    profiles={f"{name}_by_checkpoint": "checkpoint" for name in (ORDER, WORD, NATS, NEXT, "zero_shot/log_likelihood")},
    noise_floor=("again", "medium"),
    evaluate=measure,
)
