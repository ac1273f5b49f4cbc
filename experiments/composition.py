"""New combinations of known parts: models that complete what they were trained on fail on longer or new ones.

Two pairs of SCAN, the length split and the add-primitive split with "jump", and sums and differences of more digits than
were trained on (gpt_jax/evaluation/composition.py has the parts, and which commands are held out). Every model is trained
with the language-model objective on the training part as text, over whole lines, commands and answers alike, and then
completes every test prompt greedily. The score is exact match, in %.

Lake & Baroni (2018): recurrent sequence-to-sequence networks reach 99.8 % on SCAN's random split, at best 20.8 % on the
length split (13.8 % by the network that is best overall) and about 1 % on "jump". GPT-3 (175B, few-shot): sums of 2, 3,
4 and 5 digits 100, 80.4, 25.5 and 9.3 %.

Stated before any run: every arm loses at least 50 points, and at least half of its IID score, out of distribution. The
decoder's OOD score is within 10 points of the LSTM's on SCAN, where the literature has both near the floor, and
the large decoder's within 10 points of the small one's. Of pre-training nothing can be said: all arms are from scratch.

Measured: the IID test set, and the OOD one (the mean over 4, 5 and 6 digits); 1,000 items of each, the same for every
run. The gap is IID less OOD, in points and as a part of IID; its intervals are over seeds, and
`gap/ood_low` and `_high` in a run's result are over items. A model that is no better on IID has no gap to lose: read a
gap beside its IID score.

--data-dir is any folder above SCAN's files; `--only sums-large,sums-medium,sums-small,sums-lstm` needs none.
"""

import math
from typing import Any

import configs
from experiments.experiment import Comparison, Experiment, FinishedRun, Scale
from gpt_jax.config import override

ITEMS = 1000  # of each test set
IID, OOD, GAP, RELATIVE = "test/exact", "ood/exact", "gap/ood", "relative_gap/ood"


def exact_match(run: FinishedRun) -> dict[str, float | list[float]]:
    """The run's model on every test part of the pair it was trained on: exact match in %, and what is lost."""
    from gpt_jax.evaluation.composition import losses, tasks
    from gpt_jax.evaluation.evaluator import Options, evaluate
    from gpt_jax.evaluation.files import Files
    from gpt_jax.evaluation.scoring import TextModel

    pair = run.config.data.source
    model, files = TextModel.of(run.config.model, run.params, run.corpus.tokenizer), Files(run.data_dir)
    right, metrics = [], {}
    for task in tasks(pair):
        outcome = evaluate(model, task, files, options=Options(limit=ITEMS))
        right.append([record["scores"]["exact"] for record in outcome.records])
        name = task.name.removeprefix(f"{pair}_").replace("iid", "test")
        metrics[f"{name}/exact"] = outcome.estimates[0][1].value
    lost = losses(right[0], right[1:])
    metrics[OOD] = metrics[IID] - lost["gap"].value
    for kind, estimate in lost.items():
        figures = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
        metrics |= {f"{kind}/ood{end}": value for end, value in figures.items() if math.isfinite(value)}
    return metrics


SETTINGS = {
    "model.context_length": 96, "model.n_layer": 4, "model.d_model": 128, "model.n_head": 4,
    "model.initialization_std": 0.06, "model.compute_dtype": "float32", "model.embedding_dropout": 0.0,
    "model.attention_dropout": 0.0, "model.residual_dropout": 0.0,
    "data.tokenizer": "sentencepiece", "data.validation_fraction": 0.03,
    "optimizer.learning_rate": 2e-3, "optimizer.warmup_tokens": 50 * 3072, "optimizer.final_fraction": 0.0,
    "training.batch_tokens": 3072, "training.evaluation_tokens": 9600, "training.sample_tokens": 48,
}  # fmt: skip

SMOKE = {
    "model.n_layer": 1, "model.n_head": 2, "model.d_model": 32, "optimizer.warmup_tokens": 0,
    "training.train_tokens": 4 * 3072, "training.evaluate_every_tokens": 4 * 3072,
}  # fmt: skip

CPU = {
    "model.matmul_dtype": "bfloat16", "training.train_tokens": 400 * 3072, "training.evaluate_every_tokens": 100 * 3072,
    "training.checkpoint_every_tokens": 200 * 3072, "training.sample_every_tokens": 200 * 3072,
}  # fmt: skip

PAIRS = {
    "length": {"data.source": "scan_length", "model.vocab_size": 400, "training.sample_prompt": "IN: jump twice OUT:"},
    "jump": {"data.source": "scan_jump", "model.vocab_size": 400, "training.sample_prompt": "IN: jump twice OUT:"},
    "sums": {"data.source": "sums", "model.vocab_size": 292, "training.sample_prompt": "98 plus 45 ="},
}  # fmt: skip

MODELS: dict[str, dict[str, Any]] = {
    "large": {},
    "medium": {"model.n_layer": 3, "model.d_model": 96, "model.n_head": 3},
    "small": {"model.n_layer": 2, "model.d_model": 64, "model.n_head": 2},
    "lstm": {"model.architecture": "lstm", "model.n_layer": 1, "model.d_ff": 256},
}

ARMS = {f"{pair}-{model}": {**changes, **MODELS[model]} for pair, changes in PAIRS.items() for model in MODELS}

EXPERIMENT = Experiment(
    source="Lake & Baroni 2018, experiments 2 and 3; Brown et al. 2020, section 3.9.1 and Table H.1",
    base=override(configs.get("gpt2-124m"), SETTINGS),
    arms=ARMS,
    scales={
        "smoke": Scale(SMOKE, arms=("sums-small", "sums-lstm")),
        "cpu": Scale(CPU, seeds=tuple(range(5))),
        "paper": Scale({"training.train_tokens": 20_000 * 3072}, seeds=tuple(range(5))),
    },
    comparisons=(
        *(Comparison(arm, (), "higher", GAP, 50, name=f"gap: {arm}") for arm in ARMS),
        *(Comparison(arm, (), "higher", RELATIVE, 0.5, name=f"relative gap: {arm}") for arm in ARMS),
        *(
            Comparison(f"{pair}-large", f"{pair}-{other}", "equal", OOD, 10, f"OOD: {pair}, large - {other}", False)
            for pair in PAIRS for other in ("small", "lstm") if (pair, other) != ("sums", "lstm")
        ),
    ),
    metrics=(IID, OOD, GAP, RELATIVE, "ood_4/exact", "ood_5/exact", "ood_6/exact", "validation/loss"),
    divergence_is_outcome=True,
    evaluate=exact_match,
)  # fmt: skip
