"""Each layer's gradient: a step along it changes the loss by its norm; the findings are parts of the last layer's."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gpt_jax.loading
from experiments.experiment import FinishedRun, RunIdentity
from experiments.findings.layer_gradients import findings
from experiments.measurements import initial_gradient
from experiments.measurements.layer_gradients import layer_norms, measure, slope
from experiments.runs.results import Result
from gpt_jax import GPT, ModelConfig
from gpt_jax.config import RunConfig
from gpt_jax.model.layers_layout import stack_layers
from gpt_jax.training.objectives import language_model_loss
from gpt_jax.training.state import init_state

MODEL = ModelConfig(vocab_size=13, context_length=8, n_layer=3, n_head=2, d_model=8, initialization="xavier")
TOKENS = np.random.default_rng(0).integers(0, 13, (2, 9)).astype(np.int32)


def parameters(model):
    return GPT(model).init(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_norm_is_that_of_the_differences_of_the_loss(norm):
    """Each entry of a layer's matrix is moved by itself, both ways: derivatives by differences of the loss alone."""
    model = dataclasses.replace(MODEL, norm=norm)
    params, step, scored = parameters(model), 1e-2, TOKENS[:, 1:].size
    loss = jax.jit(lambda params: language_model_loss(model, params, jnp.asarray(TOKENS)) / scored)
    for layer, found in enumerate(layer_norms(model, params, TOKENS)):
        block = params[f"block_{layer}"]
        kernel = block["mlp"]["down"]["kernel"]
        ends = []
        for unit in np.eye(kernel.size, dtype=np.float32).reshape(-1, *kernel.shape):
            for change in (step * unit, -step * unit):
                mlp = {**block["mlp"], "down": {**block["mlp"]["down"], "kernel": kernel + change}}
                ends.append(float(loss({**params, f"block_{layer}": {**block, "mlp": mlp}})))
        gradient = (np.array(ends[::2]) - np.array(ends[1::2])) / (2 * step)
        assert found == pytest.approx(np.linalg.norm(gradient), rel=0.02)


def test_stacked_layers_have_the_same_norms():
    scanned = dataclasses.replace(MODEL, scan_layers=True)
    params = parameters(MODEL)
    np.testing.assert_allclose(
        layer_norms(scanned, stack_layers(scanned, params), TOKENS), layer_norms(MODEL, params, TOKENS), rtol=1e-5
    )


def test_a_run_is_measured_at_its_start_and_at_the_checkpoint_that_is_asked_for(monkeypatch, tmp_path):
    config, asked = RunConfig(model=MODEL), []
    later = jax.tree.map(lambda leaf: 2 * leaf, init_state(config).params)

    def restore(config, folder, tell, step):
        asked.append((folder, step))
        return SimpleNamespace(params=later)

    monkeypatch.setattr(gpt_jax.loading, "restore", restore)
    monkeypatch.setattr(initial_gradient, "validation_batch", lambda model, corpus: TOKENS)
    run = FinishedRun(RunIdentity("e", "a", 0, "laptop"), config, None, None, folder=tmp_path)
    found = measure(run, 100)
    assert asked == [(tmp_path, 100)]
    for when, params in (("start", init_state(config).params), ("step_100", later)):
        expected = layer_norms(MODEL, params, TOKENS)
        np.testing.assert_allclose(found[f"layer_gradient/{when}"], expected, rtol=1e-5)  # two programs
        assert found[f"layer_gradient/{when}_slope"] == pytest.approx(slope(expected), abs=1e-4)


def test_the_slope_is_the_rise_from_the_first_layer_to_the_last():
    assert slope([1.0, 2.0, 4.0]) == pytest.approx(np.log(4))
    assert slope([3.0, 3.0]) == pytest.approx(0)


def test_the_findings_are_parts_of_the_last_layer():
    made = [
        Result("a", "e", "post", seed, "laptop", metrics={"g": norms}, config_digest="d")
        for seed, norms in enumerate(([1.0, 4.0], [4.0, 4.0]))
    ]
    assert findings(made, {"at the start": "g", "later": "none"}) == [
        "post, at the start: the layers' gradients are 0.50, 1.00 of the last one's (n = 2)"
    ]
    made += [dataclasses.replace(result, arm="post, faster") for result in made]
    assert findings(made, {"at the start": "g"}) == [
        "post and post, faster, at the start: the layers' gradients are 0.50, 1.00 of the last one's (n = 2)"
    ]
