"""One real run, by the command line: trained, resumed, sampled from, verified and reported on."""

import json
import shutil

import pytest

from experiments.cli import main

TINY = [
    "data.tokenizer=bytes",
    "model.vocab_size=257",
    "model.context_length=16",
    "model.n_layer=1",
    "model.n_head=1",
    "model.d_model=8",
    "training.batch_tokens=64",
    "training.train_tokens=384",
    "training.evaluation_tokens=64",
    "training.evaluate_every_tokens=192",
    "training.checkpoint_every_tokens=192",
    "training.sample_tokens=4",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The arguments of a finished run, and its folder."""
    root = tmp_path_factory.mktemp("real")
    patch = pytest.MonkeyPatch()
    patch.setenv("GPT_JAX_CACHE", str(root / "cache"))
    (root / "text").mkdir()
    (root / "text" / "a.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60, encoding="utf-8")
    argv = ["run", "quickstart", "--scale", "smoke", "--out", str(root / "runs"), "--data-dir", str(root / "text")]
    assert main([*argv, *TINY]) == 0
    yield [*argv, *TINY], root / "runs" / "quickstart" / "gpt" / "seed-0"
    patch.undo()


@pytest.fixture
def folder(run, tmp_path):
    """A copy of the finished run, to be damaged."""
    copy = tmp_path / "runs" / "quickstart" / "gpt" / "seed-0"
    shutil.copytree(run[1], copy)
    return copy


def test_the_run_folder_is_whole(run, capsys):
    assert main(["verify", str(run[1])]) == 0
    assert capsys.readouterr().out == f"{run[1]}: whole\n"


def test_running_again_changes_nothing(run):
    before = {path: path.read_bytes() for path in run[1].rglob("*") if path.is_file()}
    assert main(run[0]) == 0
    assert before == {path: path.read_bytes() for path in run[1].rglob("*") if path.is_file()}


def test_a_run_without_its_result_is_finished_from_its_checkpoint(run, folder):
    (folder / "result.json").unlink()
    text = run[0][run[0].index("--data-dir") + 1]
    assert main(["resume", str(folder), "--data-dir", text]) == 0
    ours, theirs = (json.loads((f / "result.json").read_text(encoding="utf-8")) for f in (folder, run[1]))
    assert ours["metrics"]["validation/loss"] == theirs["metrics"]["validation/loss"]
    assert ours["config_digest"] == theirs["config_digest"]


def test_samples_start_with_the_prompt_and_follow_the_seed(run, capsys):
    texts = []
    for seed in ("0", "0", "1"):
        argv = ["sample", str(run[1]), "--prompt", "fox ", "--tokens", "8", "--samples", "2", "--seed", seed]
        assert main(argv) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0].startswith("fox ")
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    "argv, said",
    [
        (["--prompt", ""], "--prompt: '' is not allowed"),
        (["--prompt", "x" * 16], "its 16 tokens leave no room: fewer than the context of 16"),
        (["--prompt", "x", "--tokens", "16"], "--tokens: 16 is not allowed: at most 15"),
        (["--prompt", "\udcff"], "--prompt"),
    ],
)
def test_prompts_that_cannot_be_continued_are_refused(run, capsys, argv, said):
    assert main(["sample", str(run[1]), *argv]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def damage_checkpoints(folder):
    for path in (folder / "checkpoints").rglob("*"):
        if path.is_file() and "state" in path.parts:
            path.write_bytes(b"")


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda folder: shutil.rmtree(folder / "checkpoints"), "checkpoints"),
        (lambda folder: shutil.rmtree(folder / "tokenizer"), "tokenizer"),
        (lambda folder: (folder / "config.json").write_text("{", encoding="utf-8"), "config.json"),
        (damage_checkpoints, "checkpoints"),
    ],
    ids=["no checkpoints", "no tokenizer", "damaged config", "damaged checkpoints"],
)
def test_a_damaged_folder_is_named_by_sample_and_is_not_changed(folder, capsys, damage, said):
    damage(folder)
    before = sorted(folder.rglob("*"))
    assert main(["sample", str(folder), "--prompt", "a"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last
    assert sorted(folder.rglob("*")) == before


def test_verify_sees_damaged_checkpoints(folder, capsys):
    damage_checkpoints(folder)
    assert main(["verify", str(folder)]) == 2
    assert "checkpoints" in capsys.readouterr().err


def test_a_damaged_config_is_one_line_for_resume(folder, capsys):
    (folder / "config.json").write_text("[]", encoding="utf-8")
    assert main(["resume", str(folder)]) == 2
    assert "config.json" in capsys.readouterr().err
