"""`train`: a recipe by its name is trained, rehearsed, stopped, resumed and exported like any run."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from experiments.cli import main

TINY = (
    "model.n_layer=2",
    "model.n_head=2",
    "model.d_model=16",
    "model.d_ff=64",
    "model.context_length=32",
    "model.vocab_size=257",
    "model.compute_dtype=float32",
    "data.tokenizer=bytes",
    "data.validation_fraction=0.1",
    "training.batch_tokens=256",
    "training.train_tokens=3072",
    "training.evaluate_every_tokens=1536",
    "training.checkpoint_every_tokens=1024",
    "training.sample_every_tokens=3072",
    "training.sample_tokens=8",
    "training.evaluation_tokens=512",
    "optimizer.warmup_tokens=256",
)
RAMP = ("training.batch_ramp_start=64", "training.batch_ramp_tokens=1024", "optimizer.decay_tokens=3072")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    lines = [f"The {n}th line says that {n} and {n + 1} are {2 * n + 1}.\n" for n in range(400)]
    (folder / "text.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def command(name, text, out, *words):
    overrides = (*TINY, *(RAMP if name.startswith("gpt3") else ()))
    return ["train", name, "--data-dir", str(text), "--out", str(out), *words, *overrides]


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(line["step"], line["train/loss"]) for line in lines if "train/loss" in line]


def test_a_dry_run_says_what_the_run_would_take_and_leaves_nothing(text, tmp_path, capsys):
    out = tmp_path / "runs"
    assert main(command("gpt3-125m", text, out, "--dry-run")) == 0
    said = capsys.readouterr().out
    assert not out.exists() and list(tmp_path.iterdir()) == []
    for line in ("tokens/s", "MFU", "GiB", "whole run", "device-hours", "three steps", "checkpoints"):
        assert line in said
    steps = int(said.partition("whole run")[2].split()[0].replace(",", ""))
    assert steps == 19  # by hand: 6 of 64 tokens, 3 of 128 and 2 of 192 while 1,024 ramp, then 8 of 256


def test_a_dry_run_refuses_what_the_run_would_refuse(text, tmp_path, capsys):
    assert main(command("gpt2-124m", text, tmp_path, "--dry-run", "training.sample_prompt=" + "x" * 40)) == 2
    assert "training.sample_prompt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, said",
    [
        (["finetuning.task=sst2"], "finetuning.task"),
        (["training.seed=3"], "--seed"),
        (["--devices", "gpu:8"], "--devices"),
        (["--devices", "cpu:0"], "--devices"),
    ],
)
def test_wrong_use_is_one_line_with_status_2(text, tmp_path, capsys, words, said):
    assert main(["train", "gpt2-124m", "--data-dir", str(text), "--out", str(tmp_path), *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_run_on_a_recipes_name_says_train(capsys):
    assert main(["run", "gpt2-124m"]) == 2
    assert "experiments train gpt2-124m" in capsys.readouterr().err


def test_show_tells_a_recipes_promise_and_its_early_figures(capsys):
    assert main(["show", "gpt2-124m"]) == 0
    said = capsys.readouterr().out
    for part in ("reaches", "124,439,808", "v5e:2x4", "step 1,000", "4.317", "llm.c"):
        assert part in said


def stopping_after(steps, folder, monkeypatch):
    """Has the next command be asked to stop once `steps` steps of the run in `folder` are logged."""

    @contextmanager
    def stop():
        yield lambda: (folder / "metrics.jsonl").exists() and len(losses(folder)) >= steps

    monkeypatch.setattr("experiments.runs.signals.stop_on_signal", stop)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt1", "gpt2-124m", "gpt3-125m-dense"])
def test_a_recipe_is_trained_stopped_resumed_exported_and_read_by_another_library(
    name, text, tmp_path, monkeypatch, capsys
):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    whole, parts = (tmp_path / kind / "train" / name / "seed-0" for kind in ("whole", "parts"))
    assert main(command(name, text, tmp_path / "whole")) == 0
    with monkeypatch.context() as patched:
        stopping_after(4, parts, patched)
        assert main(command(name, text, tmp_path / "parts")) == 0
    assert "go on with: python -m experiments resume" in capsys.readouterr().err
    assert not (parts / "result.json").exists() and 0 < len(losses(parts)) < len(losses(whole))
    assert main(["resume", str(parts), "--data-dir", str(text)]) == 0
    assert losses(parts) == losses(whole)
    exported = tmp_path / "exported"
    assert main(["export", str(whole), str(exported)]) == 0
    model = transformers.AutoModelForCausalLM.from_pretrained(exported).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    ids = tokenizer("The 7th line")["input_ids"]
    assert ids == list(b"The 7th line")
    from gpt_jax import GPT
    from gpt_jax.loading import load_model

    ours = load_model(whole)
    logits = GPT(ours.config).apply({"params": ours.params}, np.asarray([ids], np.int32))
    with torch.no_grad():
        theirs = model(torch.tensor([ids])).logits.numpy()
    np.testing.assert_allclose(np.asarray(logits), theirs, atol=1e-4)


@pytest.mark.slow
def test_a_mesh_is_rehearsed_on_fake_devices(text, tmp_path):
    """The ramp starts with 2 sequences, the mesh has 8 rows."""
    words = command("gpt3-125m", text, tmp_path, "--devices", "cpu:8", "--dry-run", "mesh.fsdp=8")
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *words], cwd=root, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    assert "8 x cpu" in done.stdout
