"""The experiment `few_shot`: a window is one mapping, sizes differ in width alone, and arms in attention alone."""

from experiments.claims import few_shot
from experiments.experiment import load
from experiments.measurements.few_shot import SHOTS
from gpt_jax.config import differences
from gpt_jax.data.mappings import WIDTH


def test_a_window_is_a_mapping_and_arms_differ_in_size_or_attention():
    e = load("few_shot")
    configs = {arm: e.config(arm, "cpu", 0) for arm in e.arms}
    assert {c.model.context_length for c in configs.values()} == {WIDTH} == {few_shot.WIDTH}
    assert few_shot.SHOTS == SHOTS
    assert all(c.training.batch_tokens % WIDTH == 0 for c in configs.values())
    widths = {arm: set(differences(configs[arm], configs["large"])) for arm in ("medium", "small")}
    assert widths["medium"] == widths["small"] == {"model.d_model", "model.initialization_std"}
    for arm in ("dense", "dense-banded", "banded", "strided"):
        assert set(differences(configs[arm], configs["large"])) == {"model.attention"}


def test_the_laptop_reads_no_mapping_twice():
    from gpt_jax.data.mappings import DOCUMENTS, TOGETHER

    e = load("few_shot")
    config = e.config("medium", "laptop", 0)
    held_out = config.data.validation_fraction
    assert config.training.train_tokens <= (1 - 1.2 * held_out) * DOCUMENTS * TOGETHER * WIDTH
