"""Fine-tuning as a whole, on what one letter decides."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gpt_jax.config import OptimizerConfig
from gpt_jax.data.tokenizers import make_tokenizer
from gpt_jax.errors import InputError, TrainingDiverged
from gpt_jax.finetuning import parameters
from gpt_jax.finetuning.classifier import load
from gpt_jax.finetuning.fit import fit, labels_of
from gpt_jax.finetuning.transformations import subset
from gpt_jax.model.interface import language_model
from gpt_jax.model.layers_layout import stack_layers
from tests.finetuning.tiny import MODEL as TWO_LAYERS
from tests.finetuning.tiny import TOKENIZER, example, examples, task, truth
from tests.finetuning.tiny import run_config as two_layers

MODEL = dataclasses.replace(TWO_LAYERS, n_layer=1)


def run_config(**changes):
    return dataclasses.replace(two_layers(**changes), model=MODEL)


def splits(shape, regression=False, train=64):
    sizes = {"train": train, "validation": 32, "test": 64}
    return {name: examples(shape, size, seed, regression) for seed, (name, size) in enumerate(sizes.items())}


def run(shape="classification", data=None, pretrained=None, interval=None, config=None, **changes):
    data = splits(shape, interval is not None) if data is None else data
    config = run_config(**changes) if config is None else config
    return fit(config, task(shape, interval), data, TOKENIZER, pretrained), data


def assert_same(a, b):
    jax.tree.map(
        np.testing.assert_array_equal, parameters.merged(a.trained, a.frozen), parameters.merged(b.trained, b.frozen)
    )


@pytest.mark.parametrize("shape", ["classification", pytest.param("multiple_choice", marks=pytest.mark.slow)])
def test_it_learns_what_one_letter_decides(shape):
    model, data = run(shape, config=two_layers(epochs=12, learning_rate=5e-3))
    found = model.predict(data["test"])
    labels = truth(data["test"])
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert (labels_of(found) == labels).mean() > 0.95
    if shape == "multiple_choice":
        assert (found[[len(e.texts) == 4 for e in data["test"]], 2] == 0).all()


@pytest.mark.parametrize("kind", ["soft_labels", pytest.param("mse", marks=pytest.mark.slow)])
def test_it_learns_real_labels_within_their_range(kind):
    model, data = run("similarity", interval=(0.0, 5.0), epochs=12, learning_rate=5e-3, regression=kind)
    labels = truth(data["test"])
    assert np.corrcoef(model.predict(data["test"]), labels)[0, 1] > 0.9


def test_the_order_of_a_similar_pair_does_not_matter():
    model, _ = run("similarity", interval=(0.0, 5.0), epochs=1)
    pairs = [example("abc x", "b y"), example("b y", "abc x")]
    ours, swapped = model.predict(pairs)
    assert ours == pytest.approx(swapped, rel=1e-6)
    assert ours != pytest.approx(model.predict([example("abc x", "abc x")])[0], rel=1e-4)


def test_the_same_seed_gives_the_same_model_bitwise_and_another_seed_another():
    data = splits("classification")
    config = run_config(classifier_dropout=0.1)
    a, b = (run(data=data, config=config)[0] for _ in range(2))
    assert_same(a, b)
    other = dataclasses.replace(config, training=dataclasses.replace(config.training, seed=1))
    c, _ = run(data=data, config=other)
    assert not np.array_equal(a.trained["classifier"]["kernel"], c.trained["classifier"]["kernel"])


def test_the_callers_parameters_survive():
    before = jax.jit(language_model(MODEL).init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    copy = jax.tree.map(np.array, before)
    run(pretrained=before, epochs=1)
    jax.tree.map(np.testing.assert_array_equal, before, copy)


def test_the_best_epoch_on_validation_is_kept():
    """Validation labels are the wrong way round here: what is learned makes them worse, and an early epoch is best."""
    seen = []
    data = splits("classification")
    wrong = 1 - truth(data["validation"])
    data["validation"] = [dataclasses.replace(e, label=y) for e, y in zip(data["validation"], wrong, strict=True)]
    config = run_config(epochs=6, learning_rate=5e-3)
    model = fit(config, task("classification"), data, TOKENIZER, on_epoch=lambda n, m: seen.append((n, m)))
    assert [n for n, _ in seen] == [8, 16, 24, 32, 40, 48]
    ranks = [(m["accuracy"], -m["loss"]) for _, m in seen]
    assert max(ranks) > ranks[-1], "the last epoch is not the best one here"
    found = model.predict(data["validation"])
    labels = truth(data["validation"])
    assert (labels_of(found) == labels).mean() == pytest.approx(max(ranks)[0])
    assert -np.log(found[np.arange(32), labels]).mean() == pytest.approx(-max(ranks)[1], rel=1e-4)


def test_patience_ends_a_run_that_no_longer_improves():
    seen = []
    config = run_config(epochs=30, learning_rate=5e-3, patience=2)
    fit(config, task("classification"), splits("classification"), TOKENIZER, on_epoch=lambda n, m: seen.append(m))
    ranks = [(m["accuracy"], -m["loss"]) for m in seen]
    assert len(seen) < 30 and max(ranks) == ranks[-3]


def test_updates_report_both_losses_and_lambda_0_only_one():
    for weight, names in ((0.5, {"auxiliary_loss"}), (0.0, set())):
        seen = []
        fit(
            run_config(epochs=1, auxiliary_weight=weight),
            task("classification"),
            splits("classification"),
            TOKENIZER,
            on_update=lambda n, m, seen=seen: seen.append((n, m)),
        )
        assert [n for n, _ in seen] == list(range(1, 9))
        for _, m in seen:
            assert {*m} == {"loss", "supervised_loss", "gradient_norm", "rate", "tokens"} | names
            assert m["loss"] == pytest.approx(m["supervised_loss"] + weight * m.get("auxiliary_loss", 0), rel=1e-6)


def test_a_subset_of_the_training_set_is_what_the_seed_draws():
    data = splits("classification")
    a, _ = run(data=data, examples=16, epochs=1)
    drawn = {**data, "train": [data["train"][row] for row in subset(64, 16, 0)]}
    b, _ = run(data=drawn, epochs=1)
    assert_same(a, b)
    c, _ = run(data=data, examples=32, epochs=1)
    assert not np.array_equal(a.trained["classifier"]["kernel"], c.trained["classifier"]["kernel"])


def test_openais_adam_is_an_option_and_another_one():
    data = splits("classification")
    config = run_config(epochs=1)
    released = dataclasses.replace(config, optimizer=OptimizerConfig(name="openai_adam"))
    a, b = (run(data=data, config=c)[0] for c in (config, released))
    assert not np.array_equal(a.trained["classifier"]["kernel"], b.trained["classifier"]["kernel"])


@pytest.mark.parametrize("trainable", ["all", "head"])
def test_a_saved_model_predicts_the_same(tmp_path, trainable):
    model, data = run(epochs=1, trainable=trainable)
    model.save(tmp_path / "finetuned.safetensors")
    again = load(tmp_path / "finetuned.safetensors", task("classification"), run_config(), TOKENIZER)
    np.testing.assert_allclose(again.predict(data["test"]), model.predict(data["test"]), rtol=1e-6)


def test_a_saved_model_of_another_shape_or_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "finetuned.safetensors"
    run(epochs=1)[0].save(path)
    with pytest.raises(InputError, match=r"'classifier/bias' is of shape \(2,\): the run's config asks for \(1,\)"):
        load(path, task("multiple_choice"), run_config(), TOKENIZER)
    larger = make_tokenizer("gpt2", 50257, None)
    with pytest.raises(InputError, match="its tokenizer has 50257 entries and its model"):
        load(path, task("classification"), run_config(), larger)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be read"):
        load(path, task("classification"), run_config(), TOKENIZER)


def test_test_examples_need_no_labels_and_training_examples_do():
    data = splits("classification")
    data["test"] = [dataclasses.replace(e, label=None) for e in data["test"]]
    run(data=data, epochs=1)
    with pytest.raises(InputError, match="all labelled"):
        run(data={**data, "train": data["test"]})


def test_without_validation_labels_the_last_epoch_is_kept_and_stacked_layers_are_taken():
    data = splits("classification")
    data["validation"] = [dataclasses.replace(e, label=None) for e in data["validation"]]
    params = jax.jit(language_model(TWO_LAYERS).init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    config = two_layers()
    unseen = fit(config, task("classification"), data, TOKENIZER, params, on_epoch=lambda n, m: pytest.fail("judged"))
    assert_same(unseen, run(data={**data, "validation": []}, pretrained=params, config=config)[0])
    stacked = dataclasses.replace(config, model=dataclasses.replace(TWO_LAYERS, scan_layers=True))
    assert_same(unseen, fit(stacked, task("classification"), data, TOKENIZER, stack_layers(TWO_LAYERS, params)))


@pytest.mark.slow
def test_long_texts_are_cut_to_the_context():
    model, _ = run(data={**splits("classification"), "test": [example("a" * 500, label=0)]}, epochs=1)
    assert model.length == MODEL.context_length
    assert model.predict([example("a" * 500), example("")]).shape == (2, 2)


def test_a_loss_that_is_not_finite_stops_the_run():
    config = dataclasses.replace(run_config(learning_rate=1e30), optimizer=OptimizerConfig(clip_norm=None))
    with pytest.raises(TrainingDiverged, match="loss is nan at update"):
        run(config=config)


def test_a_tokenizer_of_more_entries_than_the_model_is_refused():
    config = run_config()
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=200))
    with pytest.raises(InputError, match="tokenizer: its tokenizer has 257 entries and its model 200"):
        fit(config, task("classification"), {"train": examples("classification", 8)}, TOKENIZER)
