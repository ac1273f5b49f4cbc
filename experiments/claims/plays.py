"""Pre-training on a part of the plays: what the plays' own tasks start from, at a laptop's size.

The tasks that are made of the built-in plays (docs/TASKS.md) train on 17 comedies, histories and tragedies, and test on
others. This experiment pre-trains on those 17 and on nothing else, so that no start has read a line of a validation,
test or out-of-distribution play. `aux_loss`, `transfer` and `ood` start from it at `--scale laptop`, and
`run aux_loss --scale laptop --with-needs` makes it first. It needs no data and no network.

Stated before any run: an eighth of the tokens gives a higher loss than all of them, by at least 0.05 bits/byte.

Measured: bits per byte of the last tenth of each of the 17 plays. Nothing is chosen by it: fine-tuning starts from the
last parameters. One run each: seeds are of the fine-tunings. A pair of runs decides nothing, so the comparison is no
primary one.
"""

import configs
from experiments.claims.books import SMOKE
from experiments.experiment import Comparison, Experiment, Scale
from gpt_jax.config import override

BATCH = 512
BASE = override(configs.get("quickstart"), {
    "data.source": "plays_train", "model.vocab_size": 2048,
    "optimizer.warmup_tokens": 64 * BATCH, "training.batch_tokens": BATCH, "training.train_tokens": 2400 * BATCH,
    "training.evaluate_every_tokens": 1200 * BATCH, "training.checkpoint_every_tokens": 1200 * BATCH,
    "training.sample_every_tokens": 2400 * BATCH,
})  # fmt: skip

EXPERIMENT = Experiment(
    source="Radford et al. 2018, section 3.1",
    base=BASE,
    arms={
        "decoder": {},
        "eighth": {"training.train_tokens": 300 * BATCH, "optimizer.warmup_tokens": 8 * BATCH},
    },
    scales={"smoke": Scale(SMOKE, arms=("decoder",)), "laptop": Scale({}), "cpu": Scale({}), "paper": Scale({})},
    comparisons=(
        Comparison("eighth", "decoder", "higher", margin=0.05, name="an eighth of the tokens - all", primary=False),
    ),
)  # fmt: skip
