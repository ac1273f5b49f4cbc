"""The experiment `composition`: arms are trained on the pair they are tested on, and a gap is of their own scores."""

import jax
import jax.numpy as jnp
import pytest

from experiments.claims import composition as module
from experiments.experiment import FinishedRun, RunIdentity, load
from gpt_jax import GPT
from gpt_jax.config import override
from gpt_jax.data.pairs import composition
from gpt_jax.data.pairs.composition import pair_names
from gpt_jax.data.prepare import Corpus
from gpt_jax.data.tokenizers import BytesTokenizer


def test_each_arm_is_a_model_on_a_pair_and_smoke_needs_no_files():
    e = load("composition")
    configs = {arm: e.config(arm, scale, 0) for scale in ("cpu", "laptop") for arm in e.select(scale)}
    assert set(configs) == set(e.arms)
    assert {e.config(arm, "laptop", 0).data.source for arm in e.select("laptop")} == {"sums"}
    assert {c.data.source for c in configs.values()} == {"scan_length", "scan_jump", "sums"} <= set(pair_names())
    for arm, config in configs.items():
        assert (config.model.architecture == "lstm") == arm.endswith("lstm")
    assert {e.config(arm, "smoke", 0).data.source for arm in e.select("smoke")} == {"sums"}
    compared = {c.treatment for c in e.comparisons if c.primary and c.metric == "gap/ood"}
    assert compared == set(e.arms)
    assert all(c.expected == "higher" and not c.controls for c in e.comparisons if c.primary)


@pytest.mark.parametrize("right", [False, True])
def test_the_gap_is_of_the_exact_matches_of_every_test_part(right, monkeypatch, tmp_path):
    def sums(files):
        item = {"context": "1 plus 1 =", "completion": " 2"}
        return {"train": [item], "iid": [item] * 4, "ood_4": [item] * 4, "ood_5": [item] * 4, "ood_6": [item] * 4}

    (pair,) = (pair for pair in composition.PAIRS if pair.name == "sums")
    monkeypatch.setattr(composition, "PAIRS", (composition.CompositionPair(pair.name, "", "", pair.splits, sums, 4),))
    if right:  # of the first test part asked about, and of one other
        answers = iter([True, False, True, False])

        def write(model, prompts, *rest):
            return [" 2" if next(answers) else " 3"] * len(prompts)

        monkeypatch.setattr("gpt_jax.evaluation.answering.write", write)
    small = {"model.vocab_size": 257, "model.d_model": 8, "data.tokenizer": "bytes"}
    config = override(load("composition").config("sums-small", "smoke", 0), small)
    params = GPT(config.model).init(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    found = module.exact_match(
        FinishedRun(
            RunIdentity("composition", "sums-small", 0, "smoke"), config, params, Corpus(tmp_path, BytesTokenizer(), {})
        )
    )
    scores = {name: found[f"{name}/exact"] for name in ("test", "ood_4", "ood_5", "ood_6")}
    if right:
        assert scores == {"test": 100, "ood_4": 0, "ood_5": 100, "ood_6": 0}
        assert found["ood/exact"] == pytest.approx(100 / 3) and found["gap/ood"] == pytest.approx(200 / 3)
        assert found["relative_gap/ood"] == pytest.approx(2 / 3)
        # No item of a set differs from another: the limits come from the sets' exact intervals, and are wide.
        low, gap, high = (float(found[f"gap/ood{end}"]) for end in ("_low", "", "_high"))  # type: ignore[arg-type]
        assert -100 < low < gap < high < 100
    else:
        assert set(scores.values()) == {0}
        assert found["gap/ood"] == 0 and "relative_gap/ood" not in found  # part of nothing
