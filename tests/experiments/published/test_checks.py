"""What is refused by `publish`, a run by its name, and what is published beside it."""

import json
import subprocess

import pytest

from experiments import experiment as experiments
from experiments.cli import main
from experiments.published import checks
from experiments.published.file import RESULTS, read_lines
from experiments.published.reruns import read_reruns
from experiments.verdicts import document
from gpt_jax.config import override
from gpt_jax.disk import digest_of
from tests.experiments.made_up import BASE, made_up, write_run

COMMIT = "1" * 40


@pytest.fixture
def claim(monkeypatch, tmp_path):
    """A claim on built-in data of digest "s", one whose runs diverged: such a run keeps no weights."""
    e = made_up()
    monkeypatch.setattr(experiments, "load", lambda name: e)
    monkeypatch.setattr(checks, "on_main", lambda commit: commit == COMMIT)
    kind = checks.kind_of(BASE)
    monkeypatch.setattr(type(kind), "origins", lambda self, config, data_dir: {"source_digest": "s"})
    return e


def write(out, e, arm="new", seed=0, source="s", metrics=None, **environment):
    folder = write_run(out, e, arm, seed, 3.0, "cpu", {"diverged": 1.0, **(metrics or {})})
    content = {"commit": COMMIT, "dirty": False, "cores": 1, **environment}
    (folder / "environment.json").write_text(json.dumps(content), encoding="utf-8")
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    (folder / "result.json").write_text(json.dumps({**result, "source_digest": source}), encoding="utf-8")
    for name in ("loss.png", "samples.txt"):
        (folder / name).write_bytes(b"")
    return folder


def publish(tmp_path):
    return main(["publish", "made_up", "--out", str(tmp_path / "runs"), "--results", str(tmp_path / "results")])


def test_a_whole_run_is_published_and_again_without_a_change(tmp_path, claim, capsys):
    write(tmp_path / "runs", claim)
    assert publish(tmp_path) == 0
    path = tmp_path / "results" / "made_up" / "cpu.jsonl"
    before = path.read_bytes()
    (run,) = read_lines(path).values()
    assert (run.commit, run.outcome, run.source_digest) == (COMMIT, "diverged", "s")
    assert publish(tmp_path) == 0 and path.read_bytes() == before
    assert "its line stays" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dirty": True}, "its checkout had changes that are in no commit"),
        ({"commit": None}, "environment.json has no commit"),
        ({"commit": "2" * 40}, "its commit 222222222222 is not on main"),
        ({"source": "t"}, "its data has the digest t; shakespeare has s now"),
    ],
)
def test_a_run_that_nobody_can_make_again_is_refused_by_name(tmp_path, claim, capsys, changes, said):
    folder = write(tmp_path / "runs", claim, **changes)
    write(tmp_path / "runs", claim, "old")
    assert publish(tmp_path) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"refused: {folder}") and said in error and error.count("\n") == 1
    (kept,) = read_lines(tmp_path / "results" / "made_up" / "cpu.jsonl").values()
    assert kept.arm == "old"


def test_a_damaged_run_and_one_of_another_config_are_refused(tmp_path, claim, capsys):
    damaged = write(tmp_path / "runs", claim)
    (damaged / "metrics.jsonl").write_text('{"step": 1, "tokens": 5}\n', encoding="utf-8")
    other = made_up(base=claim.config("new", "smoke", 0, {"optimizer.learning_rate": 0.5}))
    write(tmp_path / "runs", other, "old")
    assert publish(tmp_path) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "5 tokens at step 1" in first
    assert "optimizer.learning_rate is 0.5, not " in second and "as made_up has it at cpu" in second


def test_data_that_lies_elsewhere_than_data_get_puts_it_is_refused(tmp_path, claim, capsys, monkeypatch):
    write(tmp_path / "runs", claim)
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine").mkdir()
    words = ["--out", str(tmp_path / "runs"), "--results", str(tmp_path / "results"), "--data-dir"]
    assert main(["publish", "made_up", *words, str(tmp_path / "mine")]) == 2
    assert "data that `data get` fetched to" in capsys.readouterr().err
    fetched = checks.public_root() / "set"
    fetched.mkdir(parents=True)
    assert main(["publish", "made_up", *words, str(fetched)]) == 0


def test_what_data_get_fetched_is_found_as_by_run(tmp_path, claim, capsys, monkeypatch):
    """Of a claim that reads local text, where no folder is given."""
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path / "cache"))
    local = made_up(base=override(BASE, {"data.source": "local"}), data="books")
    monkeypatch.setattr(experiments, "load", lambda name: local)
    read = []
    kind = type(checks.kind_of(BASE))
    monkeypatch.setattr(kind, "origins", lambda self, config, data_dir: read.append(data_dir) or {"source_digest": "s"})
    folder = write(tmp_path / "runs", local)
    assert publish(tmp_path) == 1 and read == []
    said = capsys.readouterr().err
    assert (
        said.startswith(f"refused: {folder}")
        and "made_up reads local text, and no folder is given" in said
        and "data get books" in said
    )
    (tmp_path / "cache" / "public" / "books").mkdir(parents=True)
    assert publish(tmp_path) == 0 and read == [tmp_path / "cache" / "public" / "books"]


def test_a_commit_is_on_main_if_main_holds_it(tmp_path, monkeypatch):
    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, encoding="utf-8"
        )
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    commits = []
    for branch in ("main", "main", "side"):
        if branch == "side":
            git("checkout", "-q", "-b", branch)
        git("commit", "-q", "--allow-empty", "-m", "x")
        commits.append(git("rev-parse", "HEAD"))
    monkeypatch.setattr(checks, "__file__", str(tmp_path / "checks.py"))
    checks.on_main.cache_clear()
    assert [checks.on_main(commit) for commit in [*commits, "3" * 40]] == [True, True, False, False]
    checks.on_main.cache_clear()


def test_the_pages_are_those_of_the_published_runs():
    """docs/RESULTS.md and README's table are up to date: `python -m experiments report --all --write` makes them."""
    found = document.published()
    page = (document.CHECKOUT / "docs" / "RESULTS.md").read_text(encoding="utf-8")
    assert digest_of(page) == digest_of(document.results_page(found, read_reruns(RESULTS))), "docs/RESULTS.md is stale"
    readme = (document.CHECKOUT / "README.md").read_text(encoding="utf-8")
    made = document.with_table(readme, document.claims_table(found), "README.md")
    assert readme == made, "README.md's table of claims is stale"
