"""Fine-tuning as a run and from the command line: its folder, its wrong uses, and that it repeats itself."""

import argparse
import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from experiments.cli import main
from experiments.commands.finetune import configurations
from experiments.corpora import grammar
from experiments.runs import runner
from experiments.runs.finetuning.materials import SHAPE, gather
from experiments.runs.finetuning.predictions import named
from experiments.runs.finetuning.saved import restore
from experiments.runs.finetuning.training import describe
from experiments.runs.weights import load_model
from gpt_jax.config import FinetuningConfig, RunConfig, override
from gpt_jax.disk import sha256
from gpt_jax.errors import InputError
from gpt_jax.interop import save_pretrained
from gpt_jax.loading import files_digest
from gpt_jax.model.interface import language_model
from tests.finetuning.tiny import MODEL, TOKENIZER, truth

FILES = {
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "result.json",
    "loss.png",
    "predictions.jsonl",
    "task.json",
    "tokenizer",
    "finetuned.safetensors",
    "confusion-validation.png",
    "confusion-ood_double.png",
    "confusion-test.png",
}
slow = lambda *values: pytest.param(*values, marks=pytest.mark.slow)  # noqa: E731
SMALL = ["finetuning.examples=32", "finetuning.batch_size=8", "finetuning.epochs=2", "finetuning.max_length=64"]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A weights folder with a tokenizer of bytes beside it."""
    folder = tmp_path_factory.mktemp("pretrained") / "weights"
    config = dataclasses.replace(MODEL, context_length=64)
    params = jax.jit(language_model(config).init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    save_pretrained(config, params, folder)
    TOKENIZER.save(folder)
    return folder


def command(*words) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def finished(pretrained, tmp_path_factory):
    out = tmp_path_factory.mktemp("finetuned")
    assert command("finetune", pretrained, "--task", "grammar", "--out", out, *SMALL) == 0
    return out / "finetune" / "grammar" / "seed-0"


def result(folder):
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def wrong(capsys, *words) -> str:
    """The one line that wrong use prints."""
    capsys.readouterr()
    assert command(*words) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1, err
    return err


def test_a_context_that_divides_no_pretraining_batch_is_fine_tuned(tmp_path):
    config = dataclasses.replace(MODEL, context_length=48)
    params = jax.jit(language_model(config).init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    save_pretrained(config, params, tmp_path)
    TOKENIZER.save(tmp_path)
    given = argparse.Namespace(folder=tmp_path, task="grammar", seeds=(3,), overrides=["finetuning.max_length=40"])
    assert configurations(given)[3].model == config


def test_a_finished_run_knows_the_weights_that_it_started_from(finished, pretrained, capsys):
    again = ["finetune", pretrained, "--task", "grammar", "--out", finished.parents[2], *SMALL]
    weights, before = pretrained / "model.safetensors", (pretrained / "model.safetensors").read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    try:
        assert f"finetuning.weights {pretrained} of digest" in wrong(capsys, *again)
    finally:
        weights.write_bytes(before)
    (pretrained / "README.md").write_text("a document changes nothing", encoding="utf-8")
    assert command(*again) == 0 and "nothing to do" in capsys.readouterr().out


def test_a_run_knows_the_checkpoint_that_it_started_from(tmp_path):
    """The newest of the run; what Orbax changes in it later does not count."""
    (tmp_path / "config.json").write_text('{"identity": {}}', encoding="utf-8")
    for step in ("2", "10"):
        (tmp_path / "checkpoints" / step / "state").mkdir(parents=True)
        (tmp_path / "checkpoints" / step / "state" / "d").write_text(step, encoding="utf-8")
    first = files_digest(tmp_path, sha256)
    for other in ("checkpoints/2/state/d", "checkpoints/10/_CHECKPOINT_METADATA", "metrics.jsonl"):
        (tmp_path / other).write_text("other", encoding="utf-8")
    assert files_digest(tmp_path, sha256) == first
    (tmp_path / "checkpoints/10/state/d").write_text("11", encoding="utf-8")
    assert files_digest(tmp_path, sha256) != first


def test_copies_that_are_left_out_are_said_and_kept(finished):
    assert not any(name.startswith("copies/") for name in result(finished)["metrics"])
    config, _ = runner.read_folder(finished)
    materials = dataclasses.replace(gather(config, None), copies={"test": 1, "ood_tweets": 0})
    assert describe(config, materials)["copies left out"] == "1 of test, which are trained on"


def test_a_run_leaves_its_classifier_its_predictions_and_the_baselines(finished):
    assert {path.name for path in finished.iterdir()} == FILES
    metrics = result(finished)["metrics"]
    for name in ("train", "validation", "test", "majority/test", "bag_of_words/test"):
        assert 0 <= metrics[f"{name}/accuracy"] <= 1
    assert metrics["updates"] == 8 and metrics["validation/loss"] > 0
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines if "train/loss" in line] == list(range(1, 9))
    assert [line["step"] for line in lines if "validation/loss" in line] == [4, 8]
    assert lines[-1]["tokens"] == metrics["tokens"]


def test_the_predictions_add_up_to_the_accuracy_in_the_result(finished):
    lines = [json.loads(line) for line in (finished / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    test = [line for line in lines if line["split"] == "test"]
    assert len(test) == 256 and {line["label"] for line in test} == {"bad", "good"}
    right = np.mean([line["prediction"] == line["label"] for line in test])
    assert result(finished)["metrics"]["test/accuracy"] == pytest.approx(right)
    for line in test:
        assert line["prediction"] == ("bad", "good")[int(np.argmax(line["probabilities"]))]


def test_the_gap_is_the_iid_accuracy_less_the_ood_one_recomputed_from_the_predictions(finished):
    lines = [json.loads(line) for line in (finished / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    means = {
        split: np.mean([line["prediction"] == line["label"] for line in lines if line["split"] == split])
        for split in ("test", "ood_double")
    }
    metrics = result(finished)["metrics"]
    assert metrics["gap/double"] == pytest.approx(means["test"] - means["ood_double"])
    assert metrics["relative_gap/double"] == pytest.approx(1 - means["ood_double"] / means["test"])
    assert 0 <= metrics["detection/double/auroc"] <= 1


def test_the_majority_is_the_share_of_the_commonest_training_label(finished):
    task, splits = grammar.load()
    from gpt_jax.finetuning.fit import drawn

    train = truth(drawn(runner.read_folder(finished)[0], splits)["train"])
    assert len(train) == 32
    expected = np.mean(truth(splits["test"]) == round(train.mean()))
    assert result(finished)["metrics"]["majority/test/accuracy"] == pytest.approx(expected)
    assert named(task, 1) == "good"


def test_verify_finds_a_finished_run_whole_and_a_damaged_one_not(finished, tmp_path, capsys):
    assert command("verify", finished) == 0
    folder = tmp_path / "seed-0"
    shutil.copytree(finished, folder)
    (folder / "finetuned.safetensors").write_bytes(b"no")
    assert "finetuned.safetensors cannot be read" in wrong(capsys, "verify", folder)


def test_the_same_again_is_skipped_and_a_run_that_was_broken_off_is_the_same(finished, pretrained, tmp_path):
    before = result(finished)
    assert command("resume", finished) == 0
    assert result(finished) == before
    again = tmp_path / "seed-0"
    shutil.copytree(finished, again)
    (again / "result.json").unlink()
    (again / "finetuned.safetensors").unlink()
    assert command("resume", again) == 0
    clocks = lambda r: {k: v for k, v in r["metrics"].items() if not k.startswith("time/")}  # noqa: E731
    assert clocks(result(again)) == clocks(before)
    assert (again / "predictions.jsonl").read_text(encoding="utf-8") == (finished / "predictions.jsonl").read_text(
        encoding="utf-8"
    )


def test_a_run_asked_to_stop_says_that_it_starts_again_and_leaves_no_result(finished, tmp_path):
    config, identity = runner.read_folder(finished)
    asked = []
    with pytest.raises(runner.Interrupted, match=r"stopped at update 3: .* starts again"):
        runner.run(config, tmp_path / "run", identity, should_stop=lambda: len(asked.append(0) or asked) == 3)
    assert not (tmp_path / "run" / "result.json").exists()
    assert len((tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 3


def test_report_gives_the_mean_over_seeds_with_its_interval(finished, tmp_path, capsys):
    scores = (0.5, 0.75, 0.7)
    for seed, accuracy in enumerate(scores):
        folder = tmp_path / "finetune" / "grammar" / f"seed-{seed}"
        folder.mkdir(parents=True)
        one = result(finished)
        one["metrics"]["test/accuracy"] = accuracy
        (folder / "result.json").write_text(json.dumps({**one, "seed": seed}), encoding="utf-8")
    assert command("report", tmp_path) == 0
    out = capsys.readouterr().out
    assert "grammar: 3 seeds" in out
    words = next(line for line in out.splitlines() if line.split()[:1] == ["test/accuracy"]).split()
    low, high = stats.t.interval(0.95, 2, np.mean(scores), stats.sem(scores))
    assert words[1:] == ["0.6500", "±", f"{np.std(scores, ddof=1):.4f}", f"[{low:.4f},", f"{high:.4f}]"]


def test_classify_gives_labels_with_the_probabilities_of_the_classifier(finished, capsys):
    text = "the film was very dull ."
    assert command("classify", finished, "--text", text) == 0
    rows = [line.split() for line in capsys.readouterr().out.strip().splitlines()]
    model = restore(finished)
    from gpt_jax.data.tasks import Example

    p = model.predict([Example(texts=(text,), label=None, id="", group="")])[0]
    assert {name: float(value) for value, name in rows} == pytest.approx({"bad": p[0], "good": p[1]}, abs=1e-4)
    assert float(rows[0][0]) >= float(rows[1][0])


@pytest.mark.parametrize("shape", ["classification", slow("multiple_choice")])
def test_a_test_split_without_labels_is_predicted_and_not_scored(pretrained, tmp_path, shape):
    place = tmp_path / "mine"
    place.mkdir()
    texts = {"text": "ab"} if shape == "classification" else {"context": "a", "question": "b", "answers": ["c", "d"]}
    rows = [json.dumps({**texts, "label": 1 + n % 2}) + "\n" for n in range(8)]
    (place / "train.jsonl").write_text("".join(rows), encoding="utf-8")
    (place / "test.jsonl").write_text((json.dumps(texts) + "\n") * 3, encoding="utf-8")
    assert command("finetune", pretrained, "--task", place, "--out", tmp_path, *SMALL) == 0
    folder = tmp_path / "finetune" / "mine" / "seed-0"
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["label"] for line in lines if line["split"] == "test"] == [None] * 3
    assert result(folder)["metrics"]["test/accuracy"] is None


def test_several_seeds_are_several_runs_and_a_mean(pretrained, tmp_path, capsys):
    assert (
        command(
            "finetune", pretrained, "--task", "grammar", "--out", tmp_path, "--seeds", "1:3", "--how", "serial", *SMALL
        )
        == 0
    )
    folders = sorted((tmp_path / "finetune" / "grammar").iterdir())
    assert [folder.name for folder in folders] == ["seed-1", "seed-2"]
    mean = np.mean([result(folder)["metrics"]["test/accuracy"] for folder in folders])
    assert f"{mean:.4f} ±" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["finetune", "no/such", "--task", "grammar"], "no/such is neither a run folder nor a weights folder"),
        (["finetune", "DIR"], "--task"),
        (["finetune", "DIR", "--task", "grammer"], "grammer"),
        (["finetune", "DIR", "--task", "grammar", "finetuning.epoch=1"], "did you mean 'finetuning.epochs'?"),
        (["finetune", "DIR", "--task", "grammar", "finetuning.trainable=body"], "all, head, or top:N"),
        (["finetune", "DIR", "--task", "grammar", "finetuning.trainable=top:9"], "at most top:2"),
        (["finetune", "DIR", "--task", "grammar", "finetuning.transfer_layers=3"], "at most model.n_layer = 2"),
        (["finetune", "DIR", "--task", "grammar", "finetuning.max_length=65"], "at most model.context_length = 64"),
        (["finetune", "DIR", "--task", "grammar", "finetuning.learning_rate=0"], "more than 0"),
        (["finetune", "DIR", "--task", "grammar", "finetuning.auxiliary_weight=inf"], "inf is not allowed: a finite"),
        (["finetune", "DIR", "--task", "grammar", "mesh.fsdp=2"], "mesh.fsdp: 2 is not allowed: 1, or none"),
        (["finetune", "DIR", "--task", "grammar", "optimizer.learning_rate=1e-4"], "fine-tuning has its own"),
        (["finetune", "DIR", "--task", "grammar", "finetuning.task=sst2"], "give DIR, --task and --seeds"),
        (["finetune", "DIR", "--task", "grammar", "model.d_model=32"], "d_model 16, not 32"),
        (["finetune", "DIR", "--task", "grammar", "--data-dir", "no/data"], "--data-dir: 'no/data' does not exist"),
        (["classify", "DIR", "--text", "a"], "holds no classifier"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_one_line_and_writes_nothing(pretrained, tmp_path, capsys, words, said):
    words = [pretrained if word == "DIR" else word for word in words]
    out = [] if words[0] == "classify" else ["--out", tmp_path]
    assert said in wrong(capsys, *words, *out)
    assert not list(tmp_path.rglob("config.json"))


def test_a_classifier_is_no_language_model_and_half_a_character_no_text(finished, capsys):
    assert "holds a classifier" in wrong(capsys, "sample", finished, "--prompt", "a")
    assert "valid Unicode text" in wrong(capsys, "classify", finished, "--text", "a \ud800")


def test_a_second_text_for_a_single_text_task_is_refused(finished, capsys):
    assert "--text must be given, no more" in wrong(capsys, "classify", finished, "--text", "a", "--text-b", "b")


def test_weights_of_another_shape_than_the_runs_model_are_refused(pretrained, tmp_path):
    model = load_model(pretrained)
    settings = FinetuningConfig(task="grammar", weights=str(pretrained))
    config = RunConfig(model=model.config, finetuning=settings)
    materials = gather(config, None)
    np.testing.assert_array_equal(materials.pretrained["wte"], model.params["wte"])
    other = override(config, {"model.architecture": "lstm"})
    with pytest.raises(InputError, match="architecture 'transformer', not 'lstm'"):
        gather(other, None)
    assert all(hasattr(MODEL, name) for name in SHAPE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aux_loss", "ood", "transfer"])
def test_the_experiments_run_at_smoke_scale_without_weights_or_data(name, tmp_path, monkeypatch):
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path / "cache"))
    assert command("run", name, "--scale", "smoke", "--out", tmp_path) == 0
    assert (tmp_path / name / "report.md").is_file()
