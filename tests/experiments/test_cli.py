"""The command line: wrong use is one line and status 2; a run goes on where it stopped."""

import dataclasses
import json
import shlex
import subprocess
import sys

import pytest

from experiments import command, commands
from experiments import experiment as experiments
from experiments.cli import main
from experiments.commands.report import of_scale
from experiments.runs.full_disk import DiskFull
from gpt_jax.errors import InputError, TrainingDiverged
from tests.experiments.made_up import write_run

SMOKE = ["run", "context_length", "--scale", "smoke"]


def wrong(capsys, *argv: str) -> str:
    """The one line that wrong use prints; asserts status 2, one line, no traceback."""
    status = main(argv)
    err = capsys.readouterr().err
    assert status == 2, err
    assert err.startswith("error: "), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    "argv, said",
    [
        (["rnu"], "unknown command 'rnu': did you mean 'run'?"),
        (["compile", "gpt1"], "--topology"),
        (["run"], "NAME"),
        (["run", "quikstart"], "did you mean 'quickstart'?"),
        (["show", "sweep"], "unknown experiment 'sweep'"),
        (["show", "quickstart", "--scale", "huge"], "unknown scale 'huge'"),
        (["run", "quickstart", "--sede", "1"], "unknown option '--sede': did you mean '--seeds'?"),
        (["run", "quickstart", "--scale", "smok"], "did you mean 'smoke'?"),
        (["run", "lineage", "--only", "gtp2"], "unknown arm 'gtp2': did you mean 'gpt2'?"),
        (["run", "quickstart", "model.n_layers=2"], "did you mean 'model.n_layer'?"),
        (["run", "quickstart", "modle.n_layer=2"], "unknown key 'modle.n_layer'"),
        (["run", "quickstart", "model.n_layer=two"], "model.n_layer: 'two' is not allowed: a whole number"),
        (["run", "quickstart", "model.n_layer=0"], "model.n_layer: 0 is not allowed: at least 1"),
        (["run", "quickstart", "model.norm=middle"], "unknown model.norm 'middle'"),
        (["run", "quickstart", "optimizer.learning_rate=-1"], "optimizer.learning_rate: -1.0 is not allowed"),
        (["run", "quickstart", "training.batch_tokens=1000"], "training.batch_tokens: 1000 is not allowed"),
        (["run", "quickstart", "model.attention=Sparse()"], "unknown attention pattern 'Sparse'"),
        (["run", "quickstart", "n_layer"], "'n_layer' is not allowed: a setting is KEY=VALUE"),
        (["run", "quickstart", "model.n_layer=1", "model.n_layer=2"], "given twice"),
        (["run", "lineage", "model.norm=pre"], "the arms of lineage differ in it"),
        (["run", "quickstart", "training.seed=4"], "--seeds"),
        (["run", "quickstart", "--seeds", "3:1"], "--seeds: '3:1' is not allowed"),
        (["run", "quickstart", "--seeds", "x"], "--seeds: 'x' is not allowed"),
        (["run", "quickstart", "--seeds", "1,1"], "--seeds: '1,1' is not allowed"),
        (["run", "quickstart", "--seeds", "-1"], "--seeds: '-1' is not allowed"),
        (["run", "quickstart", "--seeds", "99999999999"], "--seeds"),
        (["run", "quickstart", "--seeds"], "--seeds"),
        (["run", "quickstart", "--data-dir", "no/such/folder"], "--data-dir: 'no/such/folder' does not exist"),
        (["run", "quickstart", "--out", "/dev/null"], "--out: '/dev/null' is not allowed"),
        (["run", "quickstart", "--out", "/dev/null/runs"], "--out: '/dev/null/runs' is not allowed"),
        (["resume", "no/such/run"], "no/such/run is not a run folder"),
        (["sample", "no/such/run", "--prompt", "a"], "no/such/run is neither a run folder nor a weights folder"),
        (["sample", "no/such/run"], "--prompt"),
        (["sample", ".", "--prompt", "a", "--temperature", "-1"], "--temperature: '-1' is not allowed"),
        (["sample", ".", "--prompt", "a", "--temperature", "nan"], "--temperature: 'nan' is not allowed"),
        (["sample", ".", "--prompt", "a", "--top-p", "1.5"], "--top-p: '1.5' is not allowed: a number above 0"),
        (["sample", ".", "--prompt", "a", "--top-p", "0"], "--top-p: '0' is not allowed"),
        (["sample", ".", "--prompt", "a", "--top-k", "0"], "--top-k: '0' is not allowed"),
        (["sample", ".", "--prompt", "a", "--tokens", "2.5"], "--tokens: '2.5' is not allowed: a whole number"),
        (["sample", ".", "--prompt", "a", "--samples", "0"], "--samples: '0' is not allowed"),
        (["report", "quickstrat"], "did you mean 'quickstart'?"),
        (["report", "quickstart", "--out", "no/such/runs"], "no such folder"),
        (["verify", "no/such/run"], "no such folder"),
        (["list", "everything"], "everything"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_one_line_that_says_what_is_allowed(capsys, fake_runner, argv, said):
    assert said in wrong(capsys, *argv)
    assert fake_runner.calls == []


def test_an_empty_folder_has_nothing_to_report_or_verify(capsys, tmp_path):
    assert "no finished run" in wrong(capsys, "report", str(tmp_path))
    assert "no config.json" in wrong(capsys, "verify", str(tmp_path))


@pytest.mark.parametrize("name", ["result.json", "config.json"])
@pytest.mark.parametrize("content", ["{", "[]", "{}", ""])
def test_damaged_files_are_named(capsys, tmp_path, name, content):
    folder = write_run(tmp_path, experiments.load("quickstart"), "gpt", 0)
    (folder / name).write_text(content, encoding="utf-8")
    command = "report" if name == "result.json" else "verify"
    assert str(folder / name) in wrong(capsys, command, str(folder))


def test_a_damaged_metrics_line_is_named(capsys, tmp_path):
    folder = write_run(tmp_path, experiments.load("quickstart"), "gpt", 0)
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "to')
    lines = len((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    assert f"metrics.jsonl:{lines}: not JSON" in wrong(capsys, "report", str(folder))


def test_every_command_explains_itself_with_an_example(capsys):
    for name in command.names():
        assert main([name, "--help"]) == 0
        assert f"example:\n  python -m experiments {name}" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert all(name in capsys.readouterr().out for name in ["run"])


def test_a_run_trains_every_arm_and_seed_and_reports(capsys, tmp_path, fake_runner):
    assert main([*SMOKE, "--seeds", "0:2", "--out", str(tmp_path)]) == 0
    assert fake_runner.calls == [("512", 0), ("1024", 0), ("512", 1), ("1024", 1)]
    assert (tmp_path / "context_length" / "report.md").is_file()
    assert "report.md" in capsys.readouterr().out.replace("\n", "")


def test_a_second_run_trains_nothing(tmp_path, fake_runner):
    for _ in range(2):
        assert main([*SMOKE, "--out", str(tmp_path)]) == 0
    assert fake_runner.calls == [("512", 0), ("1024", 0)]


def test_more_seeds_train_only_the_new_ones(tmp_path, fake_runner):
    main([*SMOKE, "--seeds", "0:1", "--out", str(tmp_path)])
    main([*SMOKE, "--seeds", "0:2", "--out", str(tmp_path)])
    assert fake_runner.calls[2:] == [("512", 1), ("1024", 1)]


def test_a_folder_of_another_config_is_refused_and_kept(capsys, tmp_path, fake_runner):
    main([*SMOKE, "--out", str(tmp_path)])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert "another config" in wrong(capsys, *SMOKE, "--out", str(tmp_path), "model.n_layer=2")
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.json")}


@pytest.mark.parametrize("error", [TrainingDiverged("the loss is nan at step 3", 3), RuntimeError("out of memory")])
def test_an_arm_that_fails_does_not_lose_the_others(capsys, tmp_path, fake_runner, error):
    fake_runner.errors["512", 0] = error
    assert main([*SMOKE, "--seeds", "0:2", "--out", str(tmp_path)]) == 1
    assert fake_runner.calls == [("1024", 0), ("512", 1), ("1024", 1)]
    assert f"failed: 512 seed 0: {'' if isinstance(error, TrainingDiverged) else 'RuntimeError: '}{error}" in (
        capsys.readouterr().err
    )


def test_only_and_overrides_in_any_order_reach_the_run(tmp_path, fake_runner):
    argv = ["run", "--only", "1024", "context_length", "model.n_layer=2", "--scale", "smoke", "--seeds", "7"]
    assert main([*argv, "training.train_tokens=4096", "--out", str(tmp_path)]) == 0
    assert fake_runner.calls == [("1024", 7)]
    assert (fake_runner.configs[0].model.n_layer, fake_runner.configs[0].training.train_tokens) == (2, 4096)


def test_a_data_dir_makes_the_source_local_and_says_so(capsys, tmp_path, fake_runner):
    argv = ["run", "quickstart", "--scale", "smoke", "--data-dir", str(tmp_path), "--out", str(tmp_path / "runs")]
    assert main(argv) == 0
    assert fake_runner.configs[0].data.source == "local"
    assert "data.source is local" in capsys.readouterr().out
    assert fake_runner.options[0]["data_dir"] == tmp_path


def test_a_data_dir_does_not_undo_a_source_that_was_chosen(tmp_path, fake_runner):
    argv = ["run", "quickstart", "--scale", "smoke", "--data-dir", str(tmp_path), "--out", str(tmp_path / "runs")]
    main([*argv, "data.source=tfds:some"])
    assert fake_runner.configs[0].data.source == "tfds:some"


def test_ctrl_c_ends_with_130_and_how_to_go_on(capsys, tmp_path, fake_runner):
    fake_runner.errors["512", 0] = KeyboardInterrupt()
    assert main([*SMOKE, "--out", str(tmp_path)]) == 130
    err = capsys.readouterr().err
    assert f"go on with: python -m experiments run context_length --scale smoke --out {tmp_path}" in err
    assert "Traceback" not in err


def test_a_stop_between_steps_ends_the_sweep_with_0_and_how_to_go_on(capsys, tmp_path, fake_runner):
    fake_runner.errors["512", 0] = fake_runner.Interrupted("stopped at step 3")
    assert main([*SMOKE, "--out", str(tmp_path)]) == 0
    assert fake_runner.calls == []
    err = capsys.readouterr().err
    assert (
        f"stopped at step 3; go on with: python -m experiments run context_length --scale smoke --out {tmp_path}" in err
    )


def test_a_full_disk_ends_the_sweep_with_1_and_one_line(capsys, tmp_path, fake_runner):
    fake_runner.errors["512", 0] = DiskFull("runs/512: cannot be written: No space left on device")
    assert main([*SMOKE, "--out", str(tmp_path)]) == 1
    assert fake_runner.calls == []
    err = capsys.readouterr().err
    assert err.startswith("failed: runs/512: cannot be written: No space left on device") and err.count("\n") == 1
    assert "python -m experiments run context_length" in err


def test_report_by_name_by_folder_and_by_run_give_the_same(tmp_path, fake_runner):
    main([*SMOKE, "--out", str(tmp_path)])
    report = tmp_path / "context_length" / "report.md"
    first = report.read_text(encoding="utf-8")
    for target in (tmp_path, tmp_path / "context_length", tmp_path / "context_length" / "512" / "seed-0"):
        report.unlink()
        assert main(["report", str(target)]) == 0
        assert report.read_text(encoding="utf-8") == first
    assert main(["report", "context_length", "--out", str(tmp_path)]) == 0


def test_a_report_of_one_scale_leaves_out_the_others_and_names_those_that_there_are(capsys, tmp_path, fake_runner):
    main([*SMOKE, "--out", str(tmp_path)])
    capsys.readouterr()
    judged = ["report", "context_length", "--out", str(tmp_path), "--json"]
    assert main([*judged, "--scale", "smoke"]) == 0
    assert {one["scale"] for one in json.loads(capsys.readouterr().out)} == {"smoke"}
    assert "unknown scale of these runs 'cpu': allowed: smoke" in wrong(capsys, *judged, "--scale", "cpu")
    assert "--scale: not allowed with --write" in wrong(capsys, "report", "--all", "--write", "--scale", "smoke")
    with pytest.raises(InputError, match="--scale: 'cpu' is not allowed: these runs compare nothing"):
        of_scale([], [tmp_path / "finetune"], "cpu")


def test_verify_names_what_is_missing_or_disagrees(capsys, tmp_path):
    folder = write_run(tmp_path, experiments.load("quickstart"), "gpt", 0)
    out = wrong(capsys, "verify", str(folder))
    assert "loss.png: missing" in out
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    (folder / "result.json").write_text(json.dumps({**result, "config_digest": "0" * 16}), encoding="utf-8")
    assert "config_digest is 0000" in wrong(capsys, "verify", str(folder))


def test_verify_sees_a_changed_config(capsys, tmp_path):
    folder = write_run(tmp_path, experiments.load("quickstart"), "gpt", 0)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["model"]["n_layer"] += 1
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert "its digest is" in wrong(capsys, "verify", str(folder))


def test_help_lines_up(capsys):
    assert main(["--help"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert sorted(line.split()[0] for line in lines) == list(command.names())
    starts = {len(line) - len(line[2:].split(None, 1)[1]) for line in lines}
    assert len(starts) == 1


def test_a_new_file_is_a_new_command_listed_under_its_group(monkeypatch, tmp_path, capsys):
    (tmp_path / "greet.py").write_text(
        "from experiments.command import Command\n"
        "COMMAND = Command('look', 'says hello', 'greet', lambda parser: None, lambda arguments: print('hi') or 0)",
        encoding="utf-8",
    )
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    monkeypatch.setattr(command, "COMMANDS", tmp_path)
    assert main(["greet"]) == 0 and main(["--help"]) == 0
    assert capsys.readouterr().out.startswith("hi\n") and "look:" in command.overview()


@pytest.mark.parametrize("name", command.names())
def test_the_example_of_every_command_parses(name):
    found = command.load(name)
    words = shlex.split(found.example)
    assert words[:4] == ["python", "-m", "experiments", name]
    seen = []
    only = dataclasses.replace(found, act=lambda arguments: seen.append(arguments) or 0)
    assert command.carry_out(only, words[4:], name) == 0 and len(seen) == 1


def test_help_starts_neither_jax_nor_rich():
    code = (
        "import sys; from experiments.cli import main; status = main(['--help']);"
        "heavy = {'jax', 'flax', 'matplotlib', 'scipy', 'rich', 'orbax'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
