"""Out of distribution: pre-trained Transformers lose little, larger ones not always less, and other networks a lot.

The course note's three claims on OOD generalisation: (1) traditional networks decay sharply, pre-trained Transformers
little; (2) a larger pre-trained model is not always better; (3) more, and more diverse, pre-training data is better.
Hendrycks et al. (2020): from SST-2 to IMDb, and back, bag-of-words and LSTMs lose more than BERT; larger BERTs do not
lose less; RoBERTa, on more data, loses less than BERT. The third claim needs several pre-trainings of one size and is
not tested here.

Stated before any run, of the gap (IID accuracy less the mean of the four OOD sets', in accuracy): the pre-trained
decoder's is lower than the LSTM's and than the same decoder's from scratch; of OOD accuracy: the pre-trained decoder's
is higher than scratch's and the LSTM's, by at least 2 points. Of size, no direction is stated: "not always better"
holds if large less medium, or medium less small, is not higher in OOD accuracy.

Measured: SST-2's test set (IID); pros and cons, product reviews, tweets and editorials (OOD, balanced), after
fine-tuning on 3,000 sentences of SST-2 that the seed draws. A model that is no better than chance has no gap to lose:
read a gap beside its IID accuracy. Bag-of-words is fitted on the same sentences in every run (`bag_of_words/gap/ood`).
How far the largest probability tells OOD from IID is in `detection/NAME/auroc` and `far95`.

The models are `books`' arms; run those first, or give finetuning.weights=LARGE,MEDIUM,SMALL,LSTM. --data-dir holds
SST-2 and the files that docs/FINETUNING.md lists. `finetuning.task=cola_sources`, `stsb_images` and the others of
gpt_jax/evaluation/ood.py are measured alike.
"""

import configs
from experiments.experiment import Comparison, Experiment, Scale
from experiments.finetuning_base import CPU, PAPER, SMOKE, base
from gpt_jax.config import override

BOOKS = ("large", "medium", "small", "lstm")
SETTINGS = {
    "finetuning.task": "sst2_domains",
    "finetuning.weights": ",".join(f"runs/books/{arm}/seed-0" for arm in BOOKS),
}  # fmt: skip
OOD, GAP, IID = "ood/accuracy", "gap/ood", "test/accuracy"

EXPERIMENT = Experiment(
    source="Hendrycks et al. 2020, section 3; the course note's section on GPT-3",
    base=override(base(configs.get("gpt1-books").model), SETTINGS),
    arms={
        "large": {},
        "medium": {"model.n_layer": 4, "model.d_model": 192, "model.n_head": 3},
        "small": {"model.n_layer": 2, "model.d_model": 128, "model.n_head": 2},
        "lstm": {"model.architecture": "lstm", "model.n_layer": 1},
        "scratch": {"finetuning.transfer_layers": -1},
    },
    scales={
        "smoke": Scale(SMOKE, arms=("large", "scratch")),
        "cpu": Scale({**CPU, "finetuning.max_length": 48, "finetuning.examples": 3000}, seeds=tuple(range(5))),
        # GPT-1's own weights, and scratch. Not run by us.
        "paper": Scale(
            {**PAPER, "finetuning.task": "sst2_domains"}, seeds=tuple(range(5)), arms=("large", "scratch")
        ),
    },
    comparisons=(
        Comparison("large", "scratch", "lower", GAP, name="gap: pre-trained - scratch"),
        Comparison("large", "lstm", "lower", GAP, name="gap: decoder - LSTM"),
        Comparison("large", "scratch", "higher", OOD, 0.02, name="OOD: pre-trained - scratch"),
        Comparison("large", "lstm", "higher", OOD, 0.02, name="OOD: decoder - LSTM"),
        Comparison("large", "medium", "higher", OOD, name="OOD: large - medium", primary=False),
        Comparison("medium", "small", "higher", OOD, name="OOD: medium - small", primary=False),
        Comparison("large", "medium", "lower", GAP, name="gap: large - medium", primary=False),
        Comparison("medium", "small", "lower", GAP, name="gap: medium - small", primary=False),
        Comparison("large", "scratch", "higher", IID, name="IID: pre-trained - scratch", primary=False),
    ),
    metrics=(IID, OOD, GAP, "relative_gap/ood", "bag_of_words/test/accuracy", "bag_of_words/ood/accuracy",
             "bag_of_words/gap/ood"),
    divergence_is_outcome=True,
)  # fmt: skip
