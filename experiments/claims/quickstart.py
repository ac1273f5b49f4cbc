"""A small GPT learns to write from real text, in minutes, on two CPU cores.

The model is GPT-2's decoder at a small size, with a 4,096-entry SentencePiece vocabulary, on 38 plays of Shakespeare.
This is not a claim of a paper but the first thing to run. The run shows the derived quantities, and samples as the
model learns. It ends with the validation loss in bits per byte, a loss curve, a sample, and the next commands.

Measured: validation loss, in nats per token and bits per byte (comparable across tokenizers), over text that was
held out by document. `--data-dir FOLDER` trains on your own text (docs/DATA.md).
"""

import configs
from experiments.experiment import Experiment, Scale

SMOKE = {
    "model.vocab_size": 512,
    "model.context_length": 64,
    "model.n_layer": 2,
    "model.n_head": 2,
    "model.d_model": 64,
    "training.batch_tokens": 1024,
    "training.train_tokens": 60 * 1024,
    "training.evaluate_every_tokens": 30 * 1024,
    "training.evaluation_tokens": 16 * 1024,
    "training.checkpoint_every_tokens": 30 * 1024,
    "training.sample_every_tokens": 30 * 1024,
    "training.sample_tokens": 32,
}

# Seven times the tokens of `cpu`, for two layers instead of four: chosen by pilots of about 0.9 million tokens, which
# docs/LOG.md has. Reaches 2.09 bits/byte.
BATCH, STEPS = 512, 8600
LAPTOP = {
    "model.n_layer": 2,
    "optimizer.warmup_tokens": 60 * BATCH,
    "training.batch_tokens": BATCH,
    "training.train_tokens": STEPS * BATCH,
    "training.evaluate_every_tokens": STEPS * BATCH // 3,
    "training.checkpoint_every_tokens": STEPS * BATCH // 3,
    "training.sample_every_tokens": STEPS * BATCH // 3,
}

EXPERIMENT = Experiment(
    source="GPT-2's architecture (Radford et al. 2019, section 2.3)",
    base=configs.get("quickstart"),
    arms={"gpt": {}},
    scales={"smoke": Scale(SMOKE), "laptop": Scale(LAPTOP), "cpu": Scale({}), "paper": Scale({})},
)
